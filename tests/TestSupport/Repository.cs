using System.Reflection;

namespace InferenceServer.TestSupport;

/// <summary>Where things lie in the checkout that the running tests were built from.</summary>
public static class Repository
{
    /// <summary>The folder with InferenceServer.sln.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>The demo models that ship.</summary>
    public static string Models => Path.Combine(Root, "models");

    /// <summary>Debug or Release, as the tests were built.</summary>
    public static string Configuration { get; } =
        typeof(Repository).Assembly.GetCustomAttribute<AssemblyConfigurationAttribute>()?.Configuration ?? "Release";

    /// <summary>The server as the build made it.</summary>
    public static string Program => Path.Combine(Root, "src", "InferenceServer", "bin", Configuration, "net10.0", "InferenceServer.dll");

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
}
