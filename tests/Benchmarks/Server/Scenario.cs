namespace InferenceServer.Benchmarks.Server;

/// <summary>What the clients send in a scenario of the verb <c>server</c>, and the goal of its ratio.</summary>
/// <param name="Name">As in the table.</param>
/// <param name="Sentences">All texts of the scenario, the same in every run.</param>
/// <param name="TextsPerRequest">Texts in each request.</param>
/// <param name="Connections">Connections in closed loop.</param>
/// <param name="Seconds">Measured seconds a round.</param>
/// <param name="Goal">Least ratio to the raw ceiling; with one text at a time see <see cref="OneTextAtATime"/>.</param>
/// <param name="PauseMilliseconds">Pause between the requests of a connection.</param>
internal sealed record Scenario(string Name, string[] Sentences, int TextsPerRequest, int Connections, double Seconds, double Goal, double PauseMilliseconds = 0)
{
    /// <summary>Milliseconds that the p50 of the server may lie above that of raw ONNX Runtime, one text at a time.</summary>
    public const double OwnMillisecondsGoal = 0.7;

    /// <summary>With pauses: most processor time of the server as a multiple of what one raw thread takes.</summary>
    public const double ProcessorGoal = 1.3;

    /// <summary>All of them.</summary>
    public static IReadOnlyList<Scenario> All { get; } =
    [
        new("12 words, 1 connection", Texts.OfWords(256, 12, 12), 1, 1, 3, 0.80),
        new("12 words, 8 connections", Texts.OfWords(512, 12, 12), 1, 8, 3, 0.90),
        new("12 words, 32 connections", Texts.OfWords(512, 12, 12), 1, 32, 3, 0.90),
        new("12 words, 128 connections", Texts.OfWords(512, 12, 12), 1, 128, 4, 0.90),
        new("100 words, 1 connection", Texts.OfWords(64, 100, 100), 1, 1, 4, 0.97),
        new("100 words, 8 connections", Texts.OfWords(64, 100, 100), 1, 8, 4, 0.95),
        new("100 words, 32 connections", Texts.OfWords(64, 100, 100), 1, 32, 5, 0.93),
        new("8-256 tokens, 32 texts a request, 4 connections", Texts.OfTokens(128, 8, 256), 32, 4, 10, 0.95),
        new("256 texts of 4-12 words in one request", Texts.OfWords(512, 4, 12), 256, 1, 5, 0.93),
        new("12 words, 1 connection, 20 ms between the requests", Texts.OfWords(256, 12, 12), 1, 1, 4, 0, PauseMilliseconds: 20),
    ];

    /// <summary>Whether at most one text is on its way: nothing to pack, so the latency is compared.</summary>
    public bool OneTextAtATime => Connections * TextsPerRequest == 1;

    /// <summary>Whether its texts are so short that milliseconds count; the goal of longer ones is the ratio.</summary>
    public bool IsShort => Goal < 0.9;

    /// <summary>Most texts that can wait at once, and so be sorted together.</summary>
    public int Group => Connections * TextsPerRequest;
}
