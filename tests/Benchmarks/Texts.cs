using System.Text.Encodings.Web;
using System.Text.Json;

namespace InferenceServer.Benchmarks;

/// <summary>The texts of the benchmarks: the same in every run.</summary>
internal static class Texts
{
    private static readonly JsonSerializerOptions Unescaped = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    // Each of these is one token of BERT's vocabulary.
    private static readonly string[] Common = Split("""
        the of and to in was he is as on with by at from his it were are which this also be had has first one their its new after but who they have her she two been other
        when time during there into all school may years more only over world some up most states year made out can until would film about city war government
        """);

    // Words of two to four tokens each, mixed with the common ones.
    private static readonly string[] Rare = Split("""
        tokenizer throughput latencies multilingual embeddings quantized pretrained checkpointing benchmarked prefetching deduplication serializer normalizes microservice
        backpressure rescheduled lemmatization vectorized polyglot hyperparameter annotators misclassified
        """);

    /// <summary><paramref name="count"/> texts of so many words, two in nine of them rare: 12 words are about 19 tokens of BERT's vocabulary.</summary>
    public static string[] OfWords(int count, int minWords, int maxWords)
    {
        var random = new Random(7);
        return [.. Enumerable.Range(0, count).Select(_ => Text(random, random.Next(minWords, maxWords + 1)))];
    }

    /// <summary>
    /// <paramref name="count"/> texts whose lengths in tokens (with two special tokens) are spread evenly over the range, in random order: so many equal
    /// parts of the range, one text each.
    /// </summary>
    public static string[] OfTokens(int count, int minTokens, int maxTokens)
    {
        var random = new Random(7);
        var lengths = Enumerable.Range(0, count).Select(i => minTokens + (int)((i + 0.5) * (maxTokens - minTokens + 1) / count)).ToArray();
        random.Shuffle(lengths);
        return [.. lengths.Select(length => string.Join(' ', Enumerable.Range(0, length - 2).Select(_ => Pick(random, Common))))];
    }

    /// <summary>The JSON body of a request.</summary>
    public static string Body(IEnumerable<string> texts) => JsonSerializer.Serialize(new { inputs = texts }, Unescaped);

    private static string Text(Random random, int words) =>
        string.Join(' ', Enumerable.Range(0, words).Select(_ => Pick(random, random.Next(9) < 2 ? Rare : Common)));

    private static string Pick(Random random, string[] words) => words[random.Next(words.Length)];

    private static string[] Split(string words) => words.Split((char[])[' ', '\n', '\r'], StringSplitOptions.RemoveEmptyEntries);
}
