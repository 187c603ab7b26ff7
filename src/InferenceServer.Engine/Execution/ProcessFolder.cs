using System.Globalization;

namespace InferenceServer.Engine.Execution;

/// <summary>A folder for files that are of use to this process alone. It goes when the process ends; what a killed process left behind goes at the next start.</summary>
internal static class ProcessFolder
{
    private const string Prefix = "inference-server-";

    private static readonly Lazy<string> Folder = new(Create);

    /// <summary>The folder, made when it is first asked for.</summary>
    public static string FullName => Folder.Value;

    private static string Create()
    {
        RemoveAbandoned();
        var folder = Directory.CreateTempSubdirectory($"{Prefix}{Environment.ProcessId}-").FullName;
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Remove(folder);
        return folder;
    }

    private static void RemoveAbandoned()
    {
        foreach (var folder in Directory.EnumerateDirectories(Path.GetTempPath(), Prefix + "*"))
        {
            var owner = Path.GetFileName(folder).AsSpan(Prefix.Length);
            var dash = owner.IndexOf('-');
            if (dash > 0 && int.TryParse(owner[..dash], CultureInfo.InvariantCulture, out var id) && !IsRunning(id))
            {
                Remove(folder);
            }
        }
    }

    private static bool IsRunning(int id)
    {
        if (id == Environment.ProcessId)
        {
            return false; // of an earlier process with the same number: this one has made none yet
        }

        try
        {
            using var process = System.Diagnostics.Process.GetProcessById(id);
            return true;
        }
        catch (ArgumentException)
        {
            return false;
        }
    }

    private static void Remove(string folder)
    {
        try
        {
            Directory.Delete(folder, recursive: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Another user's, or still mapped: it stays for the next start.
        }
    }
}
