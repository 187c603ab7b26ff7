using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Manifest;

/// <summary>
/// Which folders of a models directory are models, and what they are called. A folder of a hub cache (<c>models--org--name</c>) stands for its snapshot of the
/// revision that <c>refs/main</c> names (where there is no such file, for its only snapshot); its id is <c>org--name</c>.
/// </summary>
public static class ModelFolders
{
    private const string HubPrefix = "models--";

    /// <summary>The model folders below <paramref name="directory"/>, by id.</summary>
    /// <param name="directory">The models directory.</param>
    /// <param name="skipped">Is told of every folder that is no model: its name, and why. Null: nobody is.</param>
    /// <exception cref="IOException">The directory cannot be listed.</exception>
    /// <exception cref="UnauthorizedAccessException">The directory may not be listed.</exception>
    public static IReadOnlyDictionary<string, string> List(string directory, Action<string, string>? skipped = null)
    {
        var found = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach (var folder in Directory.EnumerateDirectories(directory).Order(StringComparer.Ordinal).OrderBy(IsHubFolder))
        {
            var name = Path.GetFileName(folder);
            if (name.StartsWith('.'))
            {
                continue;
            }

            if (!TryResolve(folder, out var resolved, out var why))
            {
                skipped?.Invoke(name, why);
            }
            else if ((resolved == folder ? name : IdOf(resolved)) is var id && !found.TryAdd(id, resolved))
            {
                skipped?.Invoke(name, $"there is a folder {id} beside it, which has its id");
            }
        }

        return found;
    }

    /// <summary>The id of a model folder: its name, or for a snapshot of a hub cache <c>org--name</c>.</summary>
    public static string IdOf(string folder)
    {
        var at = new DirectoryInfo(Path.TrimEndingDirectorySeparator(folder));
        return at.Parent is { Name: "snapshots", Parent: { } repository } && IsHubFolder(repository.Name) ? repository.Name[HubPrefix.Length..] : at.Name;
    }

    /// <summary>The models directory that a model folder lies in; for a snapshot of a hub cache its root.</summary>
    public static string DirectoryOf(string folder)
    {
        var at = new DirectoryInfo(Path.TrimEndingDirectorySeparator(folder));
        return (at.Parent is { Name: "snapshots", Parent: { } repository } && IsHubFolder(repository.Name) ? repository.Parent : at.Parent)?.FullName ?? folder;
    }

    /// <summary>The folder with the model's files: the folder itself, or for a folder of a hub cache its snapshot.</summary>
    public static string Resolve(string folder) => TryResolve(folder, out var resolved, out _) ? resolved : folder;

    /// <summary>The folder of a model of the directory, whether it is there or not. A hub cache may name another snapshot each time.</summary>
    public static string PathOf(string directory, string id) =>
        Path.Combine(directory, id) is var folder && !Directory.Exists(folder) && Path.Combine(directory, HubPrefix + id) is var hub && Directory.Exists(hub) ? Resolve(hub) : folder;

    private static bool IsHubFolder(string folder) => Path.GetFileName(folder) is { Length: > 8 } name && name.StartsWith(HubPrefix, StringComparison.Ordinal);

    // A folder that cannot be looked into is tried, so that it fails with a reason of its own and the others are served.
    private static bool TryResolve(string folder, out string resolved, out string why)
    {
        (resolved, why) = (folder, "it has neither a config.json nor an ONNX file");
        try
        {
            if (IsHubFolder(folder) && Directory.Exists(Path.Combine(folder, "snapshots")) && !File.Exists(Path.Combine(folder, "config.json")))
            {
                if (Snapshot(folder) is not { } snapshot)
                {
                    why = "its refs/main names no snapshot that is there; download the model again, or name a snapshot's folder";
                    return false;
                }

                resolved = snapshot;
            }

            return ManifestReader.IsModelFolder(resolved);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ModelLoadException)
        {
            return true;
        }
    }

    private static string? Snapshot(string folder)
    {
        var (snapshots, main) = (Path.Combine(folder, "snapshots"), Path.Combine(folder, "refs", "main"));
        if (!File.Exists(main))
        {
            return Directory.GetDirectories(snapshots) is [var only] ? only : null;
        }

        var revision = File.ReadAllText(main).Trim();
        var named = Path.Combine(snapshots, revision);
        return revision.Length > 0 && revision.All(char.IsAsciiLetterOrDigit) && Directory.Exists(named) ? named : null;
    }
}
