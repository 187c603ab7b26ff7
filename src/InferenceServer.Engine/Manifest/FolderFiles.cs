using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Manifest;

/// <summary>Files of a model folder: never one outside of it, whatever a path or a link says.</summary>
internal static class FolderFiles
{
    /// <summary>Where <paramref name="relative"/> leads, and whether that is inside <paramref name="folder"/> after every link is followed.</summary>
    public static bool IsInside(string folder, string relative, out string full)
    {
        full = "";
        if (relative.Length == 0 || relative.Contains('\0', StringComparison.Ordinal) || Path.IsPathRooted(relative))
        {
            return false;
        }

        relative = relative.Replace('\\', '/');
        var root = Path.GetFullPath(folder);
        full = Path.GetFullPath(Path.Combine(root, relative));
        return IsBelow(root, full) && IsBelow(Real(root), Real(full));
    }

    private static bool IsBelow(string root, string path) =>
        path.StartsWith(Path.EndsInDirectorySeparator(root) ? root : root + Path.DirectorySeparatorChar, StringComparison.Ordinal);

    /// <summary>The path with every link on the way replaced by what it points to.</summary>
    private static string Real(string path)
    {
        try
        {
            for (var links = 0; links < 40; links++)
            {
                if (Step(path) is not { } next)
                {
                    return path;
                }

                path = next;
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelLoadException($"{Path.GetFileName(path)} cannot be followed: {e.Message}", e);
        }

        throw new ModelLoadException($"{Path.GetFileName(path)} is a chain of links that does not end. Put the file itself into the folder.");
    }

    /// <summary>Replaces the first link on the way; null when there is none.</summary>
    private static string? Step(string path)
    {
        var at = Path.GetPathRoot(path) ?? "/";
        var parts = path[at.Length..].Split(Path.DirectorySeparatorChar, StringSplitOptions.RemoveEmptyEntries);
        for (var i = 0; i < parts.Length; i++)
        {
            var next = Path.Combine(at, parts[i]);
            var target = new FileInfo(next).LinkTarget;
            if (target is not null)
            {
                return Path.GetFullPath(Path.Combine([at, target, .. parts[(i + 1)..]]));
            }

            at = next;
        }

        return null;
    }
}
