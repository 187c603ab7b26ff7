using System.CommandLine;
using System.Reflection;
using InferenceServer.Configuration;

namespace InferenceServer.Hosting;

/// <summary>The verbs: <c>serve</c> (also without a verb), <c>inspect</c> and <c>version</c>.</summary>
internal static class CommandLine
{
    /// <summary>The program's version, without build metadata.</summary>
    public static string Version { get; } =
        typeof(CommandLine).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "0.0.0";

    /// <summary>Parses and runs; <paramref name="serve"/> receives what ASP.NET Core's configuration reads, <paramref name="inspect"/> the folder and the same. Gives the exit code.</summary>
    public static Task<int> RunAsync(string[] args, Func<string[], Task<int>> serve, Func<string, string[], int> inspect)
    {
        // The help names these two; the values travel with all other settings through ASP.NET Core's configuration.
        var urls = new Option<string>("--urls") { Description = "Addresses to listen on, separated by ';'. Default: http://localhost:8080" };
        var models = new Option<string>("--models") { Description = "Folder of model folders, relative to the current one. Default: 'models' beside the program, else the repository's" };
        var folder = new Argument<string>("folder") { Description = "A model folder" };

        var serveCommand = new Command("serve", "Serve every model folder (the default). Any setting may follow: --Limits:MaxInputs 100") { urls, models };
        serveCommand.TreatUnmatchedTokensAsErrors = false;
        serveCommand.SetAction(_ => serve(Settings(args)));
        var inspectCommand = new Command("inspect", "Print what the server understands of a model folder, and every problem found. Any setting may follow: --Models:my-model:Pooling cls") { folder };
        inspectCommand.TreatUnmatchedTokensAsErrors = false;
        inspectCommand.SetAction(parsed => inspect(parsed.GetRequiredValue(folder), [.. parsed.UnmatchedTokens]));
        var versionCommand = new Command("version", "Print the version");
        versionCommand.SetAction(_ => Console.Out.WriteLine($"InferenceServer {Version}"));

        var root = new RootCommand("InferenceServer: BERT, GPT and encoder-decoder ONNX models over REST") { urls, models, serveCommand, inspectCommand, versionCommand };
        root.TreatUnmatchedTokensAsErrors = false;
        root.SetAction(parsed =>
        {
            if (args.Length > 0 && !args[0].StartsWith('-') && !args[0].Contains('=', StringComparison.Ordinal))
            {
                Console.Error.WriteLine($"There is no verb '{args[0]}'. {NearestName.Suggest(args[0], ["serve", "inspect", "version"], "verbs")}");
                return Task.FromResult(2);
            }

            return serve(Settings(args));
        });
        return root.Parse(args, new ParserConfiguration { ResponseFileTokenReplacer = null })
            .InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null }); // the host handles Ctrl-C
    }

    private static string[] Settings(string[] args) => args is ["serve", .. var rest] ? rest : args;
}
