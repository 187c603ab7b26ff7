using InferenceServer.Configuration;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Serving;
using InferenceServer.Http.Native;

namespace InferenceServer.Hosting;

/// <summary>The verb <c>inspect</c>.</summary>
internal static class Inspection
{
    /// <summary>Prints what the server understands of a model folder with the settings that it would be started with; 1 when it has a problem.</summary>
    public static int Print(string folder, string[] settings)
    {
        var root = Path.TrimEndingDirectorySeparator(ModelFolders.Resolve(Path.GetFullPath(folder)));
        var options = Settings.ReadFor(root, ServerHost.CreateBuilder(settings).Configuration, out var errors);
        if (ServerHost.Refuse(errors))
        {
            return 1;
        }

        FolderReport report;
        try
        {
            report = FolderInspection.Inspect(root, options, TaskNames.Of);
        }
        catch (ExecutionProviderException e)
        {
            Console.Error.WriteLine(e.Message);
            return 1;
        }

        if (report.Sections.Count == 0 && report.Problems.Count == 1)
        {
            Console.Error.WriteLine(report.Problems[0]);
            return 1;
        }

        Console.Out.WriteLine(report.Folder);
        foreach (var section in report.Sections)
        {
            Console.Out.WriteLine();
            Console.Out.WriteLine(section.Title);
            foreach (var line in section.Lines)
            {
                Console.Out.WriteLine("  " + line);
            }
        }

        Console.Out.WriteLine();
        if (report.CanBeServed)
        {
            Console.Out.WriteLine("No problem was found.");
            return 0;
        }

        Console.Out.WriteLine(report.Problems.Count == 1 ? "1 problem:" : $"{report.Problems.Count} problems:");
        foreach (var problem in report.Problems)
        {
            Console.Out.WriteLine("  " + problem);
        }

        return 1;
    }
}
