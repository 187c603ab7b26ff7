using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Manifest;

/// <summary>
/// The one place that decides which file of a model folder may be opened: one inside of it, whatever a path or a link says. A link is followed where it stays
/// inside, or where folder and target belong to one hub cache (<c>models--org--name/snapshots/{revision}</c> and its <c>blobs</c>).
/// </summary>
internal static class FolderFiles
{
    private const int MostListed = 5;
    private const int MostSearched = 10_000;

    /// <summary>The full path of a file of the folder, or null when there is none.</summary>
    /// <exception cref="ModelLoadException">It is a link that leads outside the folder.</exception>
    public static string? Find(string folder, string relative) => IsInside(folder, relative, out var full) && File.Exists(full) ? full : null;

    /// <summary>The content of a file of the folder, or null when there is none.</summary>
    /// <exception cref="ModelLoadException">It is a link that leads outside the folder, has more than <paramref name="mostBytes"/>, or cannot be read.</exception>
    public static byte[]? Read(string folder, string relative, long mostBytes)
    {
        try
        {
            if (Find(folder, relative) is not { } full)
            {
                return null;
            }

            using var stream = File.OpenRead(full);
            if (stream.Length > mostBytes)
            {
                throw new ModelLoadException($"{relative} has {stream.Length} bytes; at most {mostBytes} are read. Is it the right file?");
            }

            var bytes = new byte[stream.Length];
            stream.ReadExactly(bytes);
            return bytes;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelLoadException($"{relative}: cannot be read ({e.GetType().Name}); check the file and its permissions.", e);
        }
    }

    /// <summary>Where <paramref name="relative"/> leads, and whether that is inside <paramref name="folder"/>; the file need not exist.</summary>
    /// <exception cref="ModelLoadException">The path is inside, but a link on the way leads outside.</exception>
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
        if (!IsBelow(root, full))
        {
            return false;
        }

        return MayFollow(root, full) ? true : throw LeadsOutside(root, full);
    }

    /// <summary>The folder that holds a folder's files and what their links lead to: the folder itself, or for a snapshot of a hub cache that of snapshots and blobs.</summary>
    public static string WeightsRoot(string folder)
    {
        folder = Path.GetFullPath(folder);
        return (HubBlobs(folder) ?? HubBlobs(Real(folder))) is { } blobs ? Path.GetDirectoryName(Real(blobs))! : folder;
    }

    private static bool MayFollow(string root, string full)
    {
        var (realRoot, real) = (Real(root), Real(full));
        return IsBelow(realRoot, real) || (HubBlobs(root) ?? HubBlobs(realRoot)) is { } blobs && IsBelow(Real(blobs), real);
    }

    /// <summary>The blobs of the hub cache that a folder is a snapshot of (or lies in one), or null.</summary>
    private static string? HubBlobs(string folder)
    {
        for (var at = new DirectoryInfo(folder); at.Parent is { Parent: { } repository } parent; at = parent)
        {
            if (parent.Name == "snapshots" && repository.Name.StartsWith("models--", StringComparison.Ordinal))
            {
                return Path.Combine(repository.FullName, "blobs");
            }
        }

        return null;
    }

    /// <summary>The same message for every file of the folder, so that it is told once.</summary>
    private static ModelLoadException LeadsOutside(string root, string full)
    {
        SortedSet<string> links = new(StringComparer.Ordinal) { Path.GetRelativePath(root, full) };
        try
        {
            var options = new EnumerationOptions { RecurseSubdirectories = true, MaxRecursionDepth = 3, IgnoreInaccessible = true, AttributesToSkip = FileAttributes.None };
            foreach (var file in Directory.EnumerateFiles(root, "*", options).Take(MostSearched))
            {
                if (!MayFollow(root, file))
                {
                    links.Add(Path.GetRelativePath(root, file));
                }
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ModelLoadException)
        {
            // What was found is told.
        }

        var names = string.Join(", ", links.Take(MostListed)) + (links.Count > MostListed ? $" and {links.Count - MostListed} more" : "");
        return new ModelLoadException(
            $"Files of the folder are links that lead outside of it: {names}. Put the files themselves there: copy the folder with `cp -rL`, or download it with `hf download --local-dir`. "
            + "Only links within the folder are followed, and in a hub cache those from models--org--name/snapshots into the blobs beside it.");
    }

    private static bool IsBelow(string root, string path) =>
        path.StartsWith(Path.EndsInDirectorySeparator(root) ? root : root + Path.DirectorySeparatorChar, StringComparison.Ordinal);

    /// <summary>The path with every link on the way replaced by what it points to.</summary>
    public static string Real(string path)
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
