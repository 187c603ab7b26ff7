using System.Collections.Concurrent;
using System.Globalization;
using System.IO.Compression;
using System.Text;
using System.Text.Json;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Tokenization;
using Xunit;

namespace InferenceServer.Engine.Tests.Tokenization;

/// <summary>Every folder of the goldens: each case, and each corpus line where the corpora are there, equal to the reference.</summary>
public sealed class GoldenTokenizerTests(GoldenSummary summary, ITestOutputHelper output) : IClassFixture<GoldenSummary>
{
    private const int LeastFolders = 83;
    private const int LeastCases = 138;
    private const int LeastCorpusLines = 220;

    public static TheoryData<string> Folders()
    {
        var data = new TheoryData<string>();
        foreach (var folder in Directory.GetDirectories(Source).Order(StringComparer.Ordinal))
        {
            data.Add(Path.GetFileName(folder));
        }

        return data;
    }

    /// <summary>The folders with a corpus: all but those that test one component.</summary>
    public static TheoryData<string> FoldersWithCorpus() => [.. Folders().Select(static row => row.Data).Where(static name => !name.StartsWith("ks-", StringComparison.Ordinal))];

    private static string Source => Path.Combine(TestData.Goldens, "tokenizers");

    [Fact]
    public void No_folder_is_missing() => Checks.AtLeast(LeastFolders, Directory.GetDirectories(Source).Length, "folders");

    [Theory]
    [MemberData(nameof(Folders))]
    public void Equals_the_reference(string folder)
    {
        var path = Path.Combine(Source, folder);
        var line = summary.Line(folder);
        var tokenizer = Tokenizer.Load(path);
        var wrong = new List<string>();
        foreach (var text in Lines(Path.Combine(path, "cases.jsonl.gz")))
        {
            using var document = JsonDocument.Parse(text);
            line.Cases++;
            var difference = GoldenCase.Difference(tokenizer, document.RootElement);
            if (difference is null)
            {
                line.CasesEqual++;
            }
            else
            {
                wrong.Add($"case {document.RootElement.GetProperty("id")}: {difference}");
            }
        }

        Checks.AtLeast(LeastCases, line.Cases, "cases");
        Report(line, wrong);
    }

    [Theory]
    [MemberData(nameof(FoldersWithCorpus))]
    public void Equals_the_reference_on_the_corpus(string folder)
    {
        var corpus = TestData.Corpus(folder);
        var line = summary.Line(folder);
        var tokenizer = Tokenizer.Load(Path.Combine(Source, folder));
        var wrong = new List<string>();
        var number = 0;
        foreach (var text in Lines(corpus))
        {
            using var document = JsonDocument.Parse(text);
            number++;
            line.Corpus++;
            var ids = tokenizer.Encode(document.RootElement.GetProperty("text").GetString()!).Ids;
            if (ids.AsSpan().SequenceEqual(GoldenCase.Ints(document.RootElement.GetProperty("ids"))))
            {
                line.CorpusEqual++;
            }
            else
            {
                wrong.Add($"corpus line {number}");
            }
        }

        Checks.AtLeast(LeastCorpusLines, number, "corpus lines");
        Report(line, wrong);
    }

    private void Report(GoldenLine line, List<string> wrong)
    {
        output.WriteLine(line.ToString());
        Assert.True(wrong.Count == 0, $"{line}\n{string.Join('\n', wrong.Take(int.Parse(Environment.GetEnvironmentVariable("GOLDEN_SHOW") ?? "12", CultureInfo.InvariantCulture)))}");
    }

    /// <summary>The lines of a compressed file that are not empty.</summary>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    internal static IEnumerable<string> Lines(string path)
    {
        using var reader = new StreamReader(new GZipStream(File.OpenRead(path), CompressionMode.Decompress), Encoding.UTF8);
        var all = reader.ReadToEnd();
        foreach (var line in all.Split('\n'))
        {
            if (line.Length > 0)
            {
                yield return line;
            }
        }
    }
}

/// <summary>How many lines of a folder are equal.</summary>
public sealed class GoldenLine(string folder)
{
    public string Folder { get; } = folder;

    public int Cases { get; set; }

    public int CasesEqual { get; set; }

    public int Corpus { get; set; }

    public int CorpusEqual { get; set; }

    public override string ToString() => $"{Folder}: {CasesEqual} of {Cases} cases, {CorpusEqual} of {Corpus} corpus lines";
}

/// <summary>Prints the table when all folders are done.</summary>
public sealed class GoldenSummary : IDisposable
{
    private readonly ConcurrentDictionary<string, GoldenLine> lines = [];

    public GoldenLine Line(string folder) => lines.GetOrAdd(folder, static name => new GoldenLine(name));

    public void Dispose()
    {
        var text = new StringBuilder("Tokenizers against the reference (folder: n of n)\n");
        foreach (var line in lines.Values.OrderBy(static l => l.Folder, StringComparer.Ordinal))
        {
            text.Append(CultureInfo.InvariantCulture, $"  {(line.Cases == line.CasesEqual && line.Corpus == line.CorpusEqual && line.Cases > 0 ? "ok " : "NOT")} {line}\n");
        }

        text.Append(CultureInfo.InvariantCulture, $"  {lines.Count} folders, {lines.Values.Sum(static l => l.CasesEqual)} of {lines.Values.Sum(static l => l.Cases)} cases, {lines.Values.Sum(static l => l.CorpusEqual)} of {lines.Values.Sum(static l => l.Corpus)} corpus lines\n");
        Console.Out.Write(text);
    }
}

/// <summary>One line of cases.jsonl against what the tokenizer gives.</summary>
internal static class GoldenCase
{
    /// <summary>Null when equal, else what differs first.</summary>
    public static string? Difference(Tokenizer tokenizer, JsonElement golden)
    {
        var text = golden.GetProperty("text").GetString()!;
        var pair = golden.TryGetProperty("pair", out var second) ? second.GetString() : null;
        var special = !golden.TryGetProperty("add_special_tokens", out var add) || add.GetBoolean();
        var fails = golden.TryGetProperty("error", out var error);
        Truncation? truncation = null;
        Padding? padding = null;
        if (golden.TryGetProperty("use_file_settings", out var useFile) && useFile.GetBoolean())
        {
            truncation = tokenizer.FileTruncation;
            padding = tokenizer.FilePadding;
        }

        if (golden.TryGetProperty("truncation", out var t) && t.ValueKind == JsonValueKind.Object)
        {
            truncation = new Truncation(
                t.GetProperty("max_length").GetInt32(),
                t.GetProperty("stride").GetInt32(),
                t.GetProperty("strategy").GetString() switch
                {
                    "longest_first" => TruncationStrategy.LongestFirst,
                    "only_first" => TruncationStrategy.OnlyFirst,
                    _ => TruncationStrategy.OnlySecond,
                },
                SideOf(t));
        }

        if (golden.TryGetProperty("padding", out var p) && p.ValueKind == JsonValueKind.Object)
        {
            padding = new Padding(Int(p, "length"), SideOf(p), Int(p, "pad_to_multiple_of"), p.GetProperty("pad_id").GetInt32(), p.GetProperty("pad_type_id").GetInt32(), p.GetProperty("pad_token").GetString()!);
        }

        TokenEncoding encoding;
        try
        {
            encoding = tokenizer.Encode(text, pair, special, truncation, padding);
        }
        catch (InferenceException e)
        {
            return fails ? null : $"refused: {e.Message}";
        }

        if (fails && !golden.TryGetProperty("ids", out _))
        {
            // The reference crashed: any clean answer will do. It refused: so must we.
            return error.GetString()!.StartsWith("panic", StringComparison.Ordinal) ? null : $"not refused, but the reference says: {error.GetString()}";
        }

        return Compare(tokenizer, golden, encoding, text, pair);
    }

    public static int[] Ints(JsonElement element) => element.EnumerateArray().Select(static e => e.ValueKind == JsonValueKind.Null ? -1 : e.GetInt32()).ToArray();

    private static string? Compare(Tokenizer tokenizer, JsonElement golden, TokenEncoding encoding, string text, string? pair)
    {
        var shown = JsonSerializer.Serialize(text.Length > 60 ? text[..60] : text);
        if (golden.TryGetProperty("ids", out var ids) && Differs("ids", Ints(ids), encoding.Ids) is { } i)
        {
            return $"{shown} {i}";
        }

        if (golden.TryGetProperty("tokens", out var tokens) && Differs("tokens", tokens.EnumerateArray().Select(static e => e.GetString()!).ToArray(), encoding.Tokens.ToArray()) is { } s)
        {
            return $"{shown} {s}";
        }

        if (golden.TryGetProperty("offsets", out var offsets))
        {
            var first = new TextOffsets(text);
            var second = new TextOffsets(pair ?? "");
            var mine = encoding.Offsets.Select((o, n) => (encoding.WordIds[n] >= 0 && SecondText(golden, encoding, n) ? second : first).ToCodePoints(o)).ToArray();
            var theirs = offsets.EnumerateArray().Select(static e => (e[0].GetInt32(), e[1].GetInt32())).ToArray();
            if (Differs("offsets", theirs, mine) is { } o)
            {
                return $"{shown} {o} (tokens {string.Join('|', encoding.Tokens.Take(20))})";
            }
        }

        foreach (var (name, mine) in new (string, int[])[]
        {
            ("type_ids", encoding.TypeIds),
            ("special_tokens_mask", encoding.SpecialTokensMask.Select(static b => (int)b).ToArray()),
            ("word_ids", encoding.WordIds),
            ("sequence_ids", encoding.SequenceIds.Select(static b => (int)b).ToArray()),
            ("attention_mask", encoding.AttentionMask.Select(static b => (int)b).ToArray()),
        })
        {
            if (golden.TryGetProperty(name, out var values))
            {
                if (Differs(name, Ints(values), mine) is { } d)
                {
                    return $"{shown} {d}";
                }
            }
            else if (name is "type_ids" or "special_tokens_mask" && golden.TryGetProperty("word_ids", out _) && mine.Any(static v => v != 0) && !golden.TryGetProperty("error", out _))
            {
                return $"{shown} {name}: all should be 0";
            }
        }

        if (golden.TryGetProperty("overflowing", out var overflowing))
        {
            if (overflowing.GetArrayLength() != encoding.Overflowing.Count)
            {
                return $"{shown} overflowing: {encoding.Overflowing.Count} pieces, not {overflowing.GetArrayLength()}";
            }

            var n = 0;
            foreach (var piece in overflowing.EnumerateArray())
            {
                var part = piece.ValueKind == JsonValueKind.Array ? Differs("ids", Ints(piece), encoding.Overflowing[n].Ids) : Compare(tokenizer, piece, encoding.Overflowing[n], text, pair);
                if (part is not null)
                {
                    return $"overflowing[{n}]: {part}";
                }

                n++;
            }
        }

        foreach (var (name, skip) in new[] { ("decoded", false), ("decoded_skip", true) })
        {
            if (golden.TryGetProperty(name, out var decoded) && decoded.GetString() is { } expected && tokenizer.Decode(encoding.Ids, skip) is var mine && mine != expected)
            {
                return $"{shown} {name}: {JsonSerializer.Serialize(mine)}, not {JsonSerializer.Serialize(expected)}";
            }
        }

        return null;
    }

    private static bool SecondText(JsonElement golden, TokenEncoding encoding, int index) =>
        encoding.SequenceIds[index] == 1 || (golden.TryGetProperty("sequence_ids", out var ids) && ids[index].ValueKind == JsonValueKind.Number && ids[index].GetInt32() == 1);

    private static Side SideOf(JsonElement element) =>
        element.TryGetProperty("direction", out var side) && string.Equals(side.GetString(), "left", StringComparison.OrdinalIgnoreCase) ? Side.Left : Side.Right;

    private static int? Int(JsonElement element, string name) =>
        element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Number ? value.GetInt32() : null;

    private static string? Differs<T>(string name, T[] theirs, T[] mine)
    {
        for (var i = 0; i < Math.Min(theirs.Length, mine.Length); i++)
        {
            if (!EqualityComparer<T>.Default.Equals(theirs[i], mine[i]))
            {
                return $"{name}[{i}] is {mine[i]}, not {theirs[i]}";
            }
        }

        return theirs.Length == mine.Length ? null : $"{name}: {mine.Length} long, not {theirs.Length}";
    }
}
