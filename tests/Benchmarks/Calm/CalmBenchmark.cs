using System.Globalization;
using InferenceServer.Benchmarks.Server;

namespace InferenceServer.Benchmarks.Calm;

/// <summary>The verb <c>calm</c>: how the server behaves when clients ask for more than it can do, or go away; and what it holds.</summary>
internal static class CalmBenchmark
{
    private static readonly (string Name, Func<CalmOptions, Task<CalmTable>> RunAsync)[] Cases =
    [
        ("connections", ManyConnections.RunAsync),
        ("bulk", BulkBesideInteractive.RunAsync),
        ("vanish", VanishingClients.RunAsync),
        ("memory", AttentionMemory.RunAsync),
        ("models", ManyModels.RunAsync),
        ("idle", IdleServer.RunAsync),
        ("restarts", Restarts.RunAsync),
        ("overload", Overload.RunAsync),
    ];

    /// <summary>Names of the cases.</summary>
    public static IEnumerable<string> CaseNames => Cases.Select(c => c.Name);

    /// <summary>Runs it: [case] [--seconds N] [--retry-share N]. Each case writes its own section, but not with --seconds.</summary>
    public static async Task<int> RunAsync(string[] args)
    {
        if (Parse(args) is not { } options)
        {
            Console.Error.WriteLine($"calm [case] [--seconds N] [--retry-share 0..1]; cases: {string.Join(", ", CaseNames)}.");
            return 2;
        }

        foreach (var (name, runAsync) in Cases.Where(c => options.Case is null || c.Name == options.Case))
        {
            var load = Report.Load();
            var section = (await runAsync(options)).Section(load);
            Console.WriteLine(section);
            if (options.Seconds is null)
            {
                Report.Write($"calm-{name}", section);
            }
        }

        return 0;
    }

    /// <summary>12-word texts, so many a request.</summary>
    public static BodiesFile TwelveWords(int textsPerRequest) => new(Texts.OfWords(Math.Max(512, textsPerRequest * 2), 12, 12), textsPerRequest);

    private static CalmOptions? Parse(string[] args)
    {
        var options = new CalmOptions(null, null, 0.1);
        for (var i = 0; i < args.Length; i++)
        {
            var number = i + 1 < args.Length && double.TryParse(args[i + 1], CultureInfo.InvariantCulture, out var parsed) ? parsed : double.NaN;
            switch (args[i])
            {
                case "--seconds" when number > 0:
                    options = options with { Seconds = number };
                    i++;
                    break;
                case "--retry-share" when number is >= 0 and <= 1:
                    options = options with { RetryShare = number };
                    i++;
                    break;
                case var name when options.Case is null && CaseNames.Contains(name):
                    options = options with { Case = name };
                    break;
                default:
                    return null;
            }
        }

        return options;
    }
}
