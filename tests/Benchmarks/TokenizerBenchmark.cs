using System.Diagnostics;
using System.Globalization;
using System.IO.Compression;
using System.Text;
using System.Text.Json;
using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Benchmarks;

/// <summary>
/// Tokenizers, one thread, beside the reference's own Rust library (npm package <c>@anush008/tokenizers</c>): the same lines, special
/// tokens on, truncation and padding off, best of several passes over all of them.
/// </summary>
internal static class TokenizerBenchmark
{
    private const int Bytes = 2_000_000;
    private const int Passes = 7;
    private static readonly string[] Folders = ["bert-uncased", "gpt2", "smollm2", "t5-unigram"];

    public static int Run()
    {
        if (!TestData.HasCorpora)
        {
            Console.Error.WriteLine("The corpora are absent (../shared/goldens, or the folder that INFERENCE_SHARED names): there is no text to measure on.");
            return 1;
        }

        var goldens = Path.Combine(TestData.Goldens, "tokenizers");
        var lines = Lines(goldens);
        var size = lines.Sum(static l => Encoding.UTF8.GetByteCount(l));
        using var reference = Reference.Start(lines);
        var text = new StringBuilder();
        text.AppendLine("## Tokenizers");
        text.AppendLine();
        text.AppendLine(CultureInfo.InvariantCulture, $"{Report.Machine}. One thread, {lines.Length} lines, {size / 1e6:0.00} MB of UTF-8 ({Distinct(lines) / 1e6:0.00} MB of distinct lines), special tokens on; best of {Passes} passes. Reference: {reference.Name}.");
        text.AppendLine();
        text.AppendLine("| folder | MB/s, first pass | MB/s | reference, first pass | reference MB/s | ratio | tokens | bytes allocated per token | of these result arrays |");
        text.AppendLine("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
        foreach (var folder in Folders)
        {
            var row = Measure(Path.Combine(goldens, folder), lines, size, reference);
            Console.WriteLine(row);
            text.AppendLine(row);
        }

        text.AppendLine();
        text.AppendLine("| one long text (gpt2, t5-unigram, bert-uncased) | ms |");
        text.AppendLine("|---|---|");
        foreach (var (name, content) in Long(lines))
        {
            var row = new StringBuilder($"| {name} |");
            foreach (var folder in (string[])["gpt2", "t5-unigram", "bert-uncased"])
            {
                var tokenizer = Tokenizer.Load(Path.Combine(goldens, folder));
                var watch = Stopwatch.StartNew();
                tokenizer.Encode(content);
                row.Append(CultureInfo.InvariantCulture, $" {watch.Elapsed.TotalMilliseconds:0}");
            }

            row.Append(" |");
            Console.WriteLine(row);
            text.AppendLine(row.ToString());
        }

        Report.Write("tokenizers", text.ToString());
        return 0;
    }

    private static string Measure(string folder, string[] lines, int size, Reference reference)
    {
        var tokenizer = Tokenizer.Load(folder);
        tokenizer.Encode("warm");
        double first = 0, best = double.MaxValue;
        long tokens = 0, allocated = 0;
        for (var pass = 0; pass < Passes; pass++)
        {
            GC.Collect();
            tokens = 0;
            var before = GC.GetAllocatedBytesForCurrentThread();
            var watch = Stopwatch.StartNew();
            foreach (var line in lines)
            {
                tokens += tokenizer.Encode(line).Length;
            }

            var elapsed = watch.Elapsed.TotalSeconds;
            allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            first = pass == 0 ? elapsed : first;
            best = Math.Min(best, elapsed);
        }

        // Ids, type ids, word ids (4 bytes each), offsets (8), masks, attention, sequence (1 each); seven array headers of 24 bytes.
        var arrays = (tokens * 23) + (lines.Length * 7L * 24);
        var theirs = reference.Measure(Path.Combine(folder, "tokenizer.json"), Passes);
        var mine = size / 1e6 / best;
        return string.Create(CultureInfo.InvariantCulture, $"| {Path.GetFileName(folder)} | {size / 1e6 / first:0.0} | {mine:0.0} | {Speed(theirs?.First)} | {Speed(theirs?.Best)} | {(theirs is null ? "-" : (mine / (size / 1e6 / theirs.Value.Best)).ToString("0.0x", CultureInfo.InvariantCulture))} | {tokens} | {(double)allocated / tokens:0.0} | {(double)arrays / tokens:0.0} |");

        string Speed(double? seconds) => seconds is null ? "-" : (size / 1e6 / seconds.Value).ToString("0.0", CultureInfo.InvariantCulture);
    }

    private static IEnumerable<(string Name, string Text)> Long(string[] lines)
    {
        yield return ("a word of 0.5 MB (one letter)", new string('a', 500_000));
        yield return ("a word of 1 MB (one letter)", new string('a', 1_000_000));
        var all = string.Join('\n', lines);
        var ten = new StringBuilder();
        while (ten.Length < 10_000_000)
        {
            ten.Append(all).Append('\n');
        }

        yield return ("a word of 1 MB (letters of real text)", string.Concat(ten.ToString().Where(char.IsLetter).Take(1_000_000)));
        yield return ("5 MB of text", ten.ToString(0, 5_000_000));
        yield return ("10 MB of text", ten.ToString(0, 10_000_000));
    }

    private static string[] Lines(string goldens)
    {
        var distinct = new List<string>();
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var file in Directory.GetDirectories(goldens).Select(folder => TestData.Corpus(Path.GetFileName(folder))).Where(File.Exists).Order(StringComparer.Ordinal))
        {
            using var reader = new StreamReader(new GZipStream(File.OpenRead(file), CompressionMode.Decompress));
            foreach (var line in reader.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries))
            {
                using var document = JsonDocument.Parse(line);
                var text = document.RootElement.GetProperty("text").GetString()!;
                if (seen.Add(text))
                {
                    distinct.Add(text);
                }
            }
        }

        var lines = new List<string>();
        for (int i = 0, size = 0; size < Bytes; i++)
        {
            var line = distinct[i % distinct.Count];
            lines.Add(line);
            size += Encoding.UTF8.GetByteCount(line);
        }

        return lines.ToArray();
    }

    private static long Distinct(string[] lines) => lines.Distinct(StringComparer.Ordinal).Sum(static l => (long)Encoding.UTF8.GetByteCount(l));

    /// <summary>The Rust library in a Node process of its own.</summary>
    private sealed class Reference : IDisposable
    {
        private const string Package = "@anush008/tokenizers@0.6.0";

        private const string Script = """
            const fs = require('fs');
            const { Tokenizer } = require('@anush008/tokenizers');
            const [file, textFile, passes] = process.argv.slice(2);
            (async () => {
              const lines = JSON.parse(fs.readFileSync(textFile, 'utf8'));
              const tokenizer = Tokenizer.fromString(fs.readFileSync(file, 'utf8'));
              try { tokenizer.disableTruncation(); } catch {}
              try { tokenizer.disablePadding(); } catch {}
              await tokenizer.encodeBatch(['warm']);
              let first = 0, best = Infinity;
              for (let pass = 0; pass < Number(passes); pass++) {
                const start = process.hrtime.bigint();
                await tokenizer.encodeBatch(lines);
                const seconds = Number(process.hrtime.bigint() - start) / 1e9;
                if (pass === 0) first = seconds;
                best = Math.min(best, seconds);
              }
              console.log(JSON.stringify({ first, best }));
            })().catch(e => { console.error(String(e)); process.exit(1); });
            """;

        private readonly string? folder;

        private Reference(string? folder, string name)
        {
            this.folder = folder;
            Name = name;
        }

        public string Name { get; }

        public static Reference Start(string[] lines)
        {
            var folder = Directory.CreateTempSubdirectory("tokenizer-benchmark-").FullName;
            try
            {
                File.WriteAllText(Path.Combine(folder, "package.json"), "{}");
                if (Execute("npm", ["install", "--no-audit", "--no-fund", Package], folder) is not null)
                {
                    File.WriteAllText(Path.Combine(folder, "measure.js"), Script);
                    File.WriteAllText(Path.Combine(folder, "lines.json"), JsonSerializer.Serialize(lines));
                    return new Reference(folder, $"Hugging Face tokenizers (Rust) by npm package {Package}, RAYON_NUM_THREADS=1");
                }
            }
            catch (System.ComponentModel.Win32Exception)
            {
                // No npm.
            }

            Directory.Delete(folder, recursive: true);
            Console.Error.WriteLine($"npm or {Package} cannot be had here: the reference is not measured.");
            return new Reference(null, "not measured (npm or its package is absent)");
        }

        public (double First, double Best)? Measure(string file, int passes)
        {
            if (folder is null || Execute("node", ["measure.js", file, "lines.json", passes.ToString(CultureInfo.InvariantCulture)], folder) is not { } output)
            {
                return null;
            }

            using var document = JsonDocument.Parse(output);
            return (document.RootElement.GetProperty("first").GetDouble(), document.RootElement.GetProperty("best").GetDouble());
        }

        public void Dispose()
        {
            if (folder is not null)
            {
                Directory.Delete(folder, recursive: true);
            }
        }

        private static string? Execute(string command, string[] arguments, string folder)
        {
            var start = new ProcessStartInfo(command, arguments) { WorkingDirectory = folder, RedirectStandardOutput = true, RedirectStandardError = true };
            start.Environment["RAYON_NUM_THREADS"] = "1";
            start.Environment["TOKENIZERS_PARALLELISM"] = "false";
            using var process = Process.Start(start)!;
            var error = process.StandardError.ReadToEndAsync();
            var output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            if (process.ExitCode != 0)
            {
                Console.Error.WriteLine(error.Result.Trim());
                return null;
            }

            return output;
        }
    }
}
