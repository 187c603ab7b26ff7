using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Manifest;

namespace InferenceServer.Engine.Onnx;

/// <summary>Weights in files of their own (https://onnx.ai/onnx/repo-docs/ExternalData.html): they must exist, beside or below the ONNX file.</summary>
internal static class ExternalData
{
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
