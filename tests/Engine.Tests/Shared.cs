using Xunit;

namespace InferenceServer.Engine.Tests;

/// <summary>The material beside the checkout (<c>../shared</c>): reference values and models too big for the repository.</summary>
public static class Shared
{
    /// <summary>The checkout: the folder with InferenceServer.sln.</summary>
    public static string? Repository { get; } = Checkout(); // before Root, which asks for it

    /// <summary>The folder, or null when this machine does not have it. <c>INFERENCE_SHARED</c> overrides.</summary>
    public static string? Root { get; } = Find();

    /// <summary>Small ONNX models with expected.json.</summary>
    public static string Zoo => Path.Combine(Require(), "zoo");

    /// <summary>What the reference does, precomputed.</summary>
    public static string Goldens => Path.Combine(Require(), "goldens");

    /// <summary>Real models.</summary>
    public static string Models => Path.Combine(Require(), "models");

    /// <summary>The folder; skips the running test, with the reason, when it is absent.</summary>
    public static string Require()
    {
        Assert.SkipWhen(Root is null, "../shared is absent (beside the folder with InferenceServer.sln; INFERENCE_SHARED overrides)");
        return Root!;
    }

    /// <summary>A models directory that holds one folder, by a link; it goes when the tests end (a model reads its file's hash only when asked).</summary>
    public static string DirectoryOf(string folder)
    {
        var directory = Directory.CreateTempSubdirectory("one-model-");
        Directory.CreateSymbolicLink(Path.Combine(directory.FullName, Path.GetFileName(folder)), folder);
        AppDomain.CurrentDomain.ProcessExit += (_, _) => directory.Delete(recursive: true);
        return directory.FullName;
    }

    private static string? Find()
    {
        if (Environment.GetEnvironmentVariable("INFERENCE_SHARED") is { Length: > 0 } named)
        {
            return Directory.Exists(named) ? Path.GetFullPath(named) : null;
        }

        var shared = Path.Combine(Path.GetDirectoryName(Repository) ?? "/", "shared");
        return Repository is not null && Directory.Exists(shared) ? shared : null;
    }

    private static string? Checkout()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "InferenceServer.sln")))
            {
                return folder.FullName;
            }
        }

        return null;
    }
}
