using System.Diagnostics;
using System.Text;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Tokenization;
using Xunit;

namespace InferenceServer.Engine.Tests.Tokenization;

/// <summary>Damaged tokenizer.json files: they load, or are refused with the JSON path; nothing else.</summary>
public sealed class TokenizerFuzzTests(ITestOutputHelper output)
{
    private const int Mutations = 20_000;
    private const int LargestFile = 40_000;
    private const long MostBytes = 512L << 20; // allocated in all, so never more at once

    private static readonly string[] Words =
    [
        "null", "true", "false", "0", "-1", "1e400", "2147483648", "99999999999999999999", "0.5", "\"\"", "\"\\uD800\"", "[]", "{}", "[[]]", "{\"a\":1}", "\"type\"", "\"Sequence\"",
        "\"Foo\"", "\"(a+)+$\"", "\"(?<=a*)b\"", "\"[\"", "\"\\\\p{Foo}\"", "\"\\\\1\"", "\"always\"", "[1,2]", "[\"a\",\"b\"]",
    ];

    [Fact]
    public void A_damaged_file_loads_or_is_refused_with_its_path()
    {
        var random = new Random(20_240_917);
        var files = Directory.GetFiles(Path.Combine(TestData.Goldens, "tokenizers"), "tokenizer.json", SearchOption.AllDirectories)
            .Where(static f => new FileInfo(f).Length < LargestFile)
            .Order(StringComparer.Ordinal)
            .Select(File.ReadAllBytes)
            .ToArray();
        Checks.AtLeast(40, files.Length, "files to damage");
        int loaded = 0, refused = 0;
        var slowest = TimeSpan.Zero;
        var largest = 0L;
        for (var i = 0; i < Mutations; i++)
        {
            var bytes = Mutate(files[random.Next(files.Length)], random, files);
            var watch = Stopwatch.StartNew();
            var allocated = GC.GetAllocatedBytesForCurrentThread();
            try
            {
                var tokenizer = new Tokenizer(TokenizerReader.Parse(bytes), new TokenizerConfig(AppContext.BaseDirectory));
                try
                {
                    tokenizer.Decode(tokenizer.Encode("Hello, wörld! 123 \u2581<mask> 中文😀", "b").Ids);
                }
                catch (InferenceException)
                {
                    // No token for what the vocabulary lacks: said so.
                }

                loaded++;
            }
            catch (ModelLoadException e)
            {
                Assert.StartsWith("tokenizer.json: $", e.Message, StringComparison.Ordinal);
                refused++;
            }
            catch (Exception e) when (e is not Xunit.Sdk.IAssertionException)
            {
                var file = Path.Combine(Path.GetTempPath(), $"tokenizer-fuzz-{i}.json");
                File.WriteAllBytes(file, bytes);
                Assert.Fail($"mutation {i} (kept in {file}): {e}");
            }

            slowest = watch.Elapsed > slowest ? watch.Elapsed : slowest;
            Assert.True(watch.Elapsed < TimeSpan.FromSeconds(2), $"mutation {i} took {watch.Elapsed}");
            allocated = GC.GetAllocatedBytesForCurrentThread() - allocated;
            largest = Math.Max(largest, allocated);
            Assert.True(allocated < MostBytes, $"mutation {i} allocated {allocated} bytes");
        }

        output.WriteLine($"{files.Length} files, {Mutations} mutations: {loaded} loaded, {refused} refused; the slowest took {slowest.TotalMilliseconds:0} ms, the largest {largest / 1048576.0:0.0} MiB");
        Assert.True(loaded > 100 && refused > 1000, "the mutations should do both");
    }

    [Theory]
    [InlineData("""{"model":{"type":"Foo","vocab":{}}}""", "$.model.type: 'Foo'")]
    [InlineData("""{"normalizer":{"type":"Foo"},"model":{"type":"WordLevel","vocab":{},"unk_token":"a"}}""", "$.normalizer.type: 'Foo'")]
    [InlineData("""{"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Whitespace"},{"type":"Foo"}]},"model":{"type":"WordLevel","vocab":{},"unk_token":"a"}}""", "$.pre_tokenizer.pretokenizers[1].type: 'Foo'")]
    [InlineData("""{"decoder":{"type":"Foo"},"model":{"type":"WordLevel","vocab":{},"unk_token":"a"}}""", "$.decoder.type: 'Foo'")]
    [InlineData("""{"post_processor":{"type":"Foo"},"model":{"type":"WordLevel","vocab":{},"unk_token":"a"}}""", "$.post_processor.type: 'Foo'")]
    [InlineData("""{"model":{"type":"BPE","dropout":0.1,"vocab":{},"merges":[]}}""", "$.model.dropout")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":0},"merges":["a b"]}}""", "$.model.merges[0]")]
    [InlineData("""{"model":{"type":"WordLevel","vocab":{"a":"x"},"unk_token":"a"}}""", "$.model.vocab['a']")]
    [InlineData("""{"model":{"type":"Unigram","vocab":[["a",0]],"unk_id":7}}""", "$.model.unk_id")]
    [InlineData("""{"model":""", "$: this is not valid JSON")]
    [InlineData("""[]""", "$: must be an object")]
    public void What_is_wrong_is_named(string json, string path)
    {
        var error = Assert.Throws<ModelLoadException>(() => TokenizerReader.Parse(Encoding.UTF8.GetBytes(json)));
        Assert.StartsWith("tokenizer.json: " + path, error.Message, StringComparison.Ordinal);
    }

    private static byte[] Mutate(byte[] source, Random random, byte[][] files)
    {
        var bytes = source.ToList();
        for (var n = random.Next(4) == 0 ? random.Next(2, 5) : 1; n > 0; n--)
        {
            switch (random.Next(10))
            {
                case >= 7: // a small value becomes another of its kind: most such files load
                    Leaf(bytes, random);
                    break;
                case 0: // another byte
                    bytes[random.Next(bytes.Count)] = (byte)random.Next(256);
                    break;
                case 1: // cut off
                    var keep = random.Next(1, bytes.Count + 1);
                    bytes.RemoveRange(keep, bytes.Count - keep);
                    break;
                case 2: // a stretch goes
                    var from = random.Next(bytes.Count);
                    bytes.RemoveRange(from, Math.Min(random.Next(1, 40), bytes.Count - from - (from == 0 ? 1 : 0)));
                    break;
                case 3: // a stretch of another file comes
                    var other = files[random.Next(files.Length)];
                    var start = random.Next(other.Length);
                    bytes.InsertRange(random.Next(bytes.Count), other.AsSpan(start, Math.Min(random.Next(1, 200), other.Length - start)).ToArray());
                    break;
                default: // a value becomes another, the JSON stays valid
                    Value(bytes, random);
                    break;
            }

            if (bytes.Count == 0)
            {
                bytes.Add((byte)'{');
            }
        }

        return bytes.ToArray();
    }

    private static void Leaf(List<byte> bytes, Random random)
    {
        var text = Encoding.UTF8.GetString(bytes.ToArray());
        var leaves = System.Text.RegularExpressions.Regex.Matches(text, @"(?<=: ?)(true|false|null|\d+|""(?:[^""\\]|\\.){0,40}"")");
        if (leaves.Count == 0)
        {
            return;
        }

        var leaf = leaves[random.Next(leaves.Count)];
        var value = leaf.Value[0] switch
        {
            't' => "false",
            'f' => "true",
            'n' => random.Next(2) == 0 ? "\"x\"" : "3",
            '"' => leaves[random.Next(leaves.Count)].Value is { } other && other[0] == '"' ? other : "\"\"",
            _ => random.Next(random.Next(2) == 0 ? 4 : 100_000).ToString(System.Globalization.CultureInfo.InvariantCulture),
        };
        bytes.Clear();
        bytes.AddRange(Encoding.UTF8.GetBytes(text[..leaf.Index] + value + text[(leaf.Index + leaf.Length)..]));
    }

    private static void Value(List<byte> bytes, Random random)
    {
        var at = random.Next(bytes.Count);
        var colon = bytes.IndexOf((byte)':', at);
        if (colon < 0 || colon + 1 >= bytes.Count)
        {
            return;
        }

        var end = colon + 1;
        var depth = 0;
        var quoted = false;
        for (; end < bytes.Count; end++)
        {
            var b = bytes[end];
            if (quoted)
            {
                end += b == '\\' ? 1 : 0;
                quoted = b != '"';
                continue;
            }

            quoted = b == '"';
            depth += b is (byte)'{' or (byte)'[' ? 1 : b is (byte)'}' or (byte)']' ? -1 : 0;
            if (depth < 0 || (depth == 0 && b == ','))
            {
                break;
            }
        }

        end = Math.Min(end, bytes.Count);
        bytes.RemoveRange(colon + 1, end - colon - 1);
        bytes.InsertRange(colon + 1, Encoding.UTF8.GetBytes(Words[random.Next(Words.Length)]));
    }
}
