namespace InferenceServer.TestSupport;

/// <summary>A folder that is gone after the test.</summary>
public sealed class TemporaryFolder : IDisposable
{
    /// <summary>Its path.</summary>
    public string Path { get; } = Directory.CreateTempSubdirectory("inference-server-test-").FullName;

    /// <summary>Copies a folder with all below it; the copies can be written.</summary>
    public static void Copy(string from, string to, Func<string, bool>? take = null)
    {
        Directory.CreateDirectory(to);
        foreach (var file in Directory.EnumerateFiles(from))
        {
            if (take?.Invoke(file) ?? true)
            {
                var copy = System.IO.Path.Combine(to, System.IO.Path.GetFileName(file));
                File.Copy(file, copy, overwrite: true);
                if (!OperatingSystem.IsWindows())
                {
                    File.SetUnixFileMode(copy, UnixFileMode.UserRead | UnixFileMode.UserWrite);
                }
            }
        }

        foreach (var folder in Directory.EnumerateDirectories(from))
        {
            Copy(folder, System.IO.Path.Combine(to, System.IO.Path.GetFileName(folder)), take);
        }
    }

    /// <summary>A folder that holds a link to <paramref name="folder"/> alone: a models directory of one model. It goes when the tests end (a model reads its file's hash only when asked).</summary>
    public static string LinkTo(string folder)
    {
        var directory = new TemporaryFolder();
        Directory.CreateSymbolicLink(System.IO.Path.Combine(directory.Path, System.IO.Path.GetFileName(folder)), folder);
        AppDomain.CurrentDomain.ProcessExit += (_, _) => directory.Dispose();
        return directory.Path;
    }

    /// <inheritdoc/>
    public void Dispose() => Directory.Delete(Path, recursive: true);
}
