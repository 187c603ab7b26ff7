namespace InferenceServer.Benchmarks.Server;

/// <summary>A temporary file with the bodies of requests for the client process, one a line.</summary>
internal sealed class BodiesFile : IDisposable
{
    /// <summary>Writes the texts, so many a request.</summary>
    public BodiesFile(IReadOnlyList<string> texts, int textsPerRequest)
    {
        TextsPerRequest = textsPerRequest;
        Bodies = [.. texts.Chunk(textsPerRequest).Select(Texts.Body)];
        File.WriteAllLines(Path, Bodies);
    }

    /// <summary>Path of the file.</summary>
    public string Path { get; } = System.IO.Path.GetTempFileName();

    /// <summary>The bodies.</summary>
    public IReadOnlyList<string> Bodies { get; }

    /// <summary>Texts in each body.</summary>
    public int TextsPerRequest { get; }

    /// <inheritdoc/>
    public void Dispose() => File.Delete(Path);
}
