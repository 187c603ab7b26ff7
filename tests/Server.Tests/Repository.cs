using System.Reflection;

namespace InferenceServer.Server.Tests;

/// <summary>Where things lie in the checkout that these tests were built from.</summary>
public static class Repository
{
    /// <summary>The folder with InferenceServer.sln.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>The demo models that ship.</summary>
    public static string Models => Path.Combine(Root, "models");

    /// <summary>The material shared between checkouts (test models, references), or null when it is absent.</summary>
    public static string? SharedRoot { get; } = FindShared();

    /// <summary>Debug or Release, as these tests were built.</summary>
    public static string Configuration { get; } =
        typeof(Repository).Assembly.GetCustomAttribute<AssemblyConfigurationAttribute>()?.Configuration ?? "Release";

    /// <summary>The server as the build made it.</summary>
    public static string Program => Path.Combine(Root, "src", "InferenceServer", "bin", Configuration, "net10.0", "InferenceServer.dll");

    /// <summary>A folder of the shared material; skips the test when it is absent.</summary>
    public static string Shared(string folder)
    {
        var path = SharedRoot is null ? null : Path.Combine(SharedRoot, folder);
        if (!Directory.Exists(path))
        {
            Assert.Skip($"../shared/{folder} is absent (INFERENCE_SHARED names another place)");
        }

        return path!;
    }

    private static string FindRoot()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "InferenceServer.sln")))
            {
                return folder.FullName;
            }
        }

        throw new InvalidOperationException($"No InferenceServer.sln above {AppContext.BaseDirectory}.");
    }

    private static string? FindShared()
    {
        var path = Environment.GetEnvironmentVariable("INFERENCE_SHARED") ?? Path.Combine(Root, "..", "shared");
        return Directory.Exists(path) ? Path.GetFullPath(path) : null;
    }
}
