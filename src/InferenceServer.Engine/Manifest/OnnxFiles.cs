using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Manifest;

/// <summary>Which ONNX files of a folder are loaded.</summary>
internal static class OnnxFiles
{
    private const int Deepest = 4;
    private const int MostListed = 30;

    public static OnnxFileSet Choose(string folder, string? setting, string? id = null)
    {
        var root = Path.GetFullPath(folder);
        if (!string.IsNullOrWhiteSpace(setting))
        {
            return BySetting(root, setting.Trim(), id);
        }

        foreach (var plain in (string[])["onnx/model.onnx", "model.onnx"])
        {
            if (Existing(root, plain) is { } file)
            {
                return new OnnxFileSet(file);
            }
        }

        foreach (var prefix in (string[])["onnx/", ""])
        {
            if (Set(root, prefix, "") is { } set)
            {
                return set;
            }
        }

        var all = All(root);
        return all.Count switch
        {
            1 => new OnnxFileSet(Existing(root, all[0])!),
            0 => throw new ModelLoadException("The folder has no ONNX file. Export the model (for example with `optimum-cli export onnx`) and put the file at onnx/model.onnx."),
            _ => throw new ModelLoadException($"The folder has several ONNX files and none is named as the default: {List(all)}. Choose one with the setting Models:{id ?? ModelFolders.IdOf(root)}:File."),
        };
    }

    /// <summary>ONNX files of a folder, relative to it, sorted.</summary>
    public static IReadOnlyList<string> All(string folder)
    {
        try
        {
            var options = new EnumerationOptions { RecurseSubdirectories = true, MaxRecursionDepth = Deepest, IgnoreInaccessible = true, AttributesToSkip = FileAttributes.None };
            return
            [
                .. Directory.EnumerateFiles(folder, "*.onnx", options)
                    .Select(path => Path.GetRelativePath(folder, path).Replace('\\', '/'))
                    .Where(path => !path.Split('/').Any(part => part.StartsWith('.')))
                    .Order(StringComparer.Ordinal),
            ];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelLoadException($"The folder cannot be listed: {e.Message}", e);
        }
    }

    /// <summary>Every file that a set names, in a fixed order.</summary>
    public static IEnumerable<string> In(OnnxFileSet set) =>
        ((string?[])[set.Main, set.Decoder, set.DecoderWithPast, set.DecoderMerged, set.Continuation]).OfType<string>();

    private static OnnxFileSet BySetting(string root, string setting, string? id)
    {
        var name = $"Models:{id ?? ModelFolders.IdOf(root)}:File";
        string full;
        try
        {
            full = FolderFiles.IsInside(root, setting, out var inside) ? inside : throw new ModelLoadException("Give a path relative to the folder, such as onnx/model.onnx.");
        }
        catch (ModelLoadException e)
        {
            throw new ModelLoadException($"The setting {name} is '{setting}', which is not inside the model's folder. {e.Message}", e);
        }

        if (!File.Exists(full))
        {
            var all = All(root);
            throw new ModelLoadException($"The setting {name} is '{setting}', and there is no such file. {(all.Count == 0 ? "The folder has no ONNX file." : $"The folder has {List(all)}.")}");
        }

        // An encoder that is named by itself brings its decoders: encoder_model_fp16.onnx goes with decoder_model_fp16.onnx.
        const string encoder = "encoder_model";
        var file = Path.GetFileNameWithoutExtension(full);
        var prefix = Path.GetRelativePath(root, Path.GetDirectoryName(full)!).Replace('\\', '/');
        return file.StartsWith(encoder, StringComparison.Ordinal) && Set(root, prefix == "." ? "" : prefix + "/", file[encoder.Length..]) is { } set ? set : new OnnxFileSet(full);
    }

    private static OnnxFileSet? Set(string root, string prefix, string suffix)
    {
        string? File(string name) => Existing(root, $"{prefix}{name}{suffix}.onnx");
        if (File("encoder_model") is { } encoder)
        {
            var set = new OnnxFileSet(encoder, File("decoder_model"), File("decoder_with_past_model"), File("decoder_model_merged"));
            return set is { Decoder: not null } or { DecoderMerged: not null } ? set : null;
        }

        // A decoder alone, as older exports wrote it. The file without a past shows its attention, the merged one hides it in a branch.
        return File("decoder_model") is { } decoder ? new OnnxFileSet(decoder) { Continuation = File("decoder_with_past_model") ?? File("decoder_model_merged") }
            : File("decoder_model_merged") is { } merged ? new OnnxFileSet(merged) : null;
    }

    private static string? Existing(string root, string relative) => FolderFiles.Find(root, relative);

    private static string List(IReadOnlyList<string> files) =>
        string.Join(", ", files.Take(MostListed)) + (files.Count > MostListed ? $" and {files.Count - MostListed} more" : "");
}
