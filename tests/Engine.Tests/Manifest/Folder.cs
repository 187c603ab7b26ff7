using System.Buffers.Binary;
using System.Text;

namespace InferenceServer.Engine.Tests.Manifest;

/// <summary>A model folder made for a test.</summary>
internal sealed class Folder : IDisposable
{
    private readonly DirectoryInfo parent = Directory.CreateTempSubdirectory("folder-");

    public Folder(params (string Name, string Content)[] files)
    {
        Directory.CreateDirectory(Path);
        foreach (var (name, content) in files)
        {
            Write(name, content);
        }
    }

    public string Path => System.IO.Path.Combine(parent.FullName, "model");

    public string Outside => parent.FullName;

    public void Dispose() => parent.Delete(true);

    public Folder Write(string name, string content) => Write(name, Encoding.UTF8.GetBytes(content));

    public Folder Write(string name, byte[] content)
    {
        var path = System.IO.Path.Combine(Path, name);
        Directory.CreateDirectory(System.IO.Path.GetDirectoryName(path)!);
        File.WriteAllBytes(path, content);
        return this;
    }

    /// <summary>A safetensors file of a header and data.</summary>
    public Folder WriteTensors(string name, string header, params byte[] data)
    {
        var json = Encoding.UTF8.GetBytes(header);
        var bytes = new byte[8 + json.Length + data.Length];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, json.Length);
        json.CopyTo(bytes, 8);
        data.CopyTo(bytes, 8 + json.Length);
        return Write(name, bytes);
    }
}
