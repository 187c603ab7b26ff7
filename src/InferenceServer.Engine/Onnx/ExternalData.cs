using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Manifest;

namespace InferenceServer.Engine.Onnx;

/// <summary>Weights in files of their own (https://onnx.ai/onnx/repo-docs/ExternalData.html): they must exist, beside or below the ONNX file.</summary>
internal static class ExternalData
{
    /// <summary>
    /// In a hub cache the files are links into its blobs, and ONNX Runtime reads no weights of an edited graph through a link that leaves the folder which it is given: it
    /// is given the folder of both, and the paths from there.
    /// </summary>
    public static void Relocate(OnnxModel model, GraphEdit edit)
    {
        var folder = Path.GetDirectoryName(Path.GetFullPath(model.FilePath))!;
        var root = FolderFiles.WeightsRoot(folder);
        if (edit.IsEmpty || model.ExternalFiles.Count == 0 || root == folder)
        {
            return;
        }

        foreach (var tensor in model.Graph.Initializers.Values.Where(tensor => tensor is { IsExternal: true, Location: not null }))
        {
            if (FolderFiles.IsInside(folder, tensor.Location!, out var full))
            {
                edit.Relocate(tensor, Path.GetRelativePath(root, FolderFiles.Real(full)).Replace('\\', '/'));
            }
        }
    }

    public static void Check(OnnxModel model)
    {
        var name = Path.GetFileName(model.FilePath);
        var folder = Path.GetDirectoryName(Path.GetFullPath(model.FilePath))!;
        foreach (var location in model.ExternalFiles)
        {
            if (!FolderFiles.IsInside(folder, location, out var full))
            {
                throw new ModelLoadException($"{name} takes weights from '{location}', which is outside its folder. Put the file beside the model and export it again with a plain file name.");
            }

            if (!File.Exists(full))
            {
                throw new ModelLoadException($"{name} takes weights from '{location}', which is missing. Download that file, too, and put it beside {name}.");
            }
        }
    }
}
