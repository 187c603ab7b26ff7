using System.IO.Compression;
using System.Text;
using System.Text.Json;
using InferenceServer.Engine.Tokenization;
using InferenceServer.Engine.Tokenization.Normalizers;
using InferenceServer.Engine.Tokenization.PreTokenizers;
using Xunit;

namespace InferenceServer.Engine.Tests.Tokenization;

/// <summary>Every normalizer and class table against what the reference says, code point by code point.</summary>
public sealed class UnicodeTableTests
{
    private const string Charsmaps = "t5-unigram";
    private const int LeastCodePoints = 204_208;
    private const int LeastRanges = 10;

    [Theory]
    [InlineData("NFC", 1120, """{"type":"NFC"}""")]
    [InlineData("NFD", 13232, """{"type":"NFD"}""")]
    [InlineData("NFKC", 4794, """{"type":"NFKC"}""")]
    [InlineData("NFKD", 16894, """{"type":"NFKD"}""")]
    [InlineData("Lowercase", 1488, """{"type":"Lowercase"}""")]
    [InlineData("StripAccents", 2097, """{"type":"StripAccents"}""")]
    [InlineData("NFD+StripAccents", 15279, """{"type":"Sequence","normalizers":[{"type":"NFD"},{"type":"StripAccents"}]}""")]
    [InlineData("Nmt", 45, """{"type":"Nmt"}""")]
    [InlineData("Bert(clean_text)", 6638, """{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":false,"strip_accents":false,"lowercase":false}""")]
    [InlineData("Bert(strip_accents)", 14781, """{"type":"BertNormalizer","clean_text":false,"handle_chinese_chars":false,"strip_accents":true,"lowercase":false}""")]
    [InlineData("Bert(lowercase,strip_accents=false)", 1488, """{"type":"BertNormalizer","clean_text":false,"handle_chinese_chars":false,"strip_accents":false,"lowercase":true}""")]
    [InlineData("Bert(lowercase,strip_accents=null)", 15889, """{"type":"BertNormalizer","clean_text":false,"handle_chinese_chars":false,"strip_accents":null,"lowercase":true}""")]
    [InlineData("Precompiled(nmt_nfkc)", 5009, "charsmap")]
    public void Normalizer_equals_the_reference_for_every_code_point(string table, int changed, string json)
    {
        var expected = Table(table).EnumerateObject().ToDictionary(static e => Convert.ToInt32(e.Name, 16), static e => e.Value.GetString()!);
        Checks.AtLeast(changed, expected.Count, "characters that change");
        var normalizer = json == "charsmap" ? FirstNormalizer(Charsmaps) : NormalizerFactory.Create(Part(json));
        Compare(normalizer, c => expected.GetValueOrDefault(c) ?? char.ConvertFromUtf32(c));
    }

    [Fact]
    public void Chinese_characters_are_set_apart_as_the_reference_does()
    {
        var apart = Table("Bert(handle_chinese_chars)").GetProperty("surrounded_by_spaces").EnumerateArray()
            .Select(static r => r.GetString()!.Split("..").Select(static h => Convert.ToInt32(h, 16)).ToArray()).ToList();
        Checks.AtLeast(7, apart.Count, "ranges");
        var normalizer = NormalizerFactory.Create(Part("""{"type":"BertNormalizer","clean_text":false,"handle_chinese_chars":true,"strip_accents":false,"lowercase":false}"""));
        Compare(normalizer, c => apart.Exists(r => r[0] <= c && c <= r[1]) ? $" {char.ConvertFromUtf32(c)} " : char.ConvertFromUtf32(c));
    }

    [Theory]
    [InlineData("BertPreTokenizer", """{"type":"BertPreTokenizer"}""")]
    [InlineData("Punctuation", """{"type":"Punctuation","behavior":"Isolated"}""")]
    [InlineData("Whitespace", """{"type":"Whitespace"}""")]
    [InlineData("WhitespaceSplit", """{"type":"WhitespaceSplit"}""")]
    [InlineData("Digits", """{"type":"Digits","individual_digits":true}""")]
    public void Pre_tokenizer_equals_the_reference_for_every_code_point(string table, string json) =>
        CompareClasses(table, PreTokenizerFactory.Create(Part(json)), static pieces => pieces.Count switch
        {
            1 => "joined",
            3 => "isolated",
            _ => "removed",
        });

    [Theory]
    [InlineData(@"\p{L}")]
    [InlineData(@"\p{N}")]
    [InlineData(@"\p{P}")]
    [InlineData(@"\p{S}")]
    [InlineData(@"\p{M}")]
    [InlineData(@"\p{Lu}")]
    [InlineData(@"\p{Han}")]
    [InlineData(@"\s")]
    [InlineData(@"\w")]
    [InlineData(@"\d")]
    [InlineData("[[:alpha:]]")]
    [InlineData("[[:punct:]]")]
    public void Regex_class_equals_the_reference_for_every_code_point(string regex)
    {
        // Between two characters that the class never holds, so that a match stands alone.
        var split = PreTokenizerFactory.Create(Part(JsonSerializer.Serialize(
            new { type = "Split", pattern = new { Regex = regex }, behavior = "Removed", invert = true })));
        CompareClasses("regex " + regex, split, static pieces => pieces.Count > 0 ? "isolated" : "no", alone: true);
    }

    [Fact]
    public void Scripts_equal_the_reference_for_every_code_point()
    {
        var probes = new Dictionary<string, string>
        {
            ["Latin"] = "a",
            ["Greek"] = "α",
            ["Cyrillic"] = "б",
            ["Hebrew"] = "א",
            ["Arabic"] = "ب",
            ["Devanagari"] = "क",
            ["Thai"] = "ก",
            ["Hangul"] = "가",
            ["Han,Hiragana,Katakana"] = "中",
        };
        var scripts = PreTokenizerFactory.Create(Part("""{"type":"UnicodeScripts"}"""));
        var wrong = new List<string>();
        var text = new PreTokenizedString();
        var compared = 0;
        foreach (var (c, expected) in Classes("UnicodeScripts joins"))
        {
            compared += expected is null ? 0 : 1;
            foreach (var (script, probe) in probes)
            {
                var joins = Pieces(text, scripts, probe + char.ConvertFromUtf32(c)).Count == 1;
                if (joins != (expected == script || expected == "any"))
                {
                    wrong.Add($"U+{c:X4} with {script}: {(joins ? "joins" : "splits")}, the reference says {expected}");
                }
            }
        }

        Checks.AtLeast(LeastCodePoints, compared, "code points");
        Assert.True(wrong.Count == 0, $"{wrong.Count} wrong:\n{string.Join('\n', wrong.Take(20))}");
    }

    private static void Compare(Normalizer normalizer, Func<int, string> expected)
    {
        var wrong = new List<string>();
        var text = new NormalizedString();
        for (var c = 0; c < 0x110000; c++)
        {
            // No surrogates; and of the two last planes, private use, the tables hold the ends alone.
            if (c is (>= 0xD800 and < 0xE000) or (> 0xF0000 and < 0xFFFFD) or (> 0x100000 and < 0x10FFFD))
            {
                continue;
            }

            text.Reset(char.ConvertFromUtf32(c));
            normalizer.Normalize(text);
            if (!text.Text.SequenceEqual(expected(c)))
            {
                wrong.Add($"U+{c:X4}: {Show(text.ToString())}, the reference says {Show(expected(c))}");
            }
        }

        Assert.True(wrong.Count == 0, $"{wrong.Count} wrong:\n{string.Join('\n', wrong.Take(20))}");
    }

    private static void CompareClasses(string table, PreTokenizer preTokenizer, Func<List<string>, string> classify, bool alone = false)
    {
        var wrong = new List<string>();
        var text = new PreTokenizedString();
        var compared = 0;
        foreach (var (c, expected) in Classes(table))
        {
            if (expected is null)
            {
                continue;
            }

            compared++;
            var pieces = Pieces(text, preTokenizer, alone ? char.ConvertFromUtf32(c) : $"a{char.ConvertFromUtf32(c)}b");
            if (classify(pieces) != expected)
            {
                wrong.Add($"U+{c:X4}: {string.Join('|', pieces.Select(Show))}, the reference says {expected}");
            }
        }

        Checks.AtLeast(LeastCodePoints, compared, "code points");
        Assert.True(wrong.Count == 0, $"{wrong.Count} wrong:\n{string.Join('\n', wrong.Take(20))}");
    }

    private static List<string> Pieces(PreTokenizedString text, PreTokenizer preTokenizer, string input)
    {
        text.Clear();
        var own = text.NewText();
        own.Reset(input);
        text.Add(new Piece(own, 0, own.Length, -1, false));
        preTokenizer.PreTokenize(text);
        return [.. text.Pieces.ToArray().Select(static p => p.Span.ToString())];
    }

    private static IEnumerable<(int CodePoint, string? Class)> Classes(string table)
    {
        using var document = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(TestData.Goldens, "unicode", "classes.json")));
        var entry = document.RootElement.GetProperty(table);
        var classes = new string?[0x110000];
        Array.Fill(classes, entry.GetProperty("default").GetString());
        Checks.AtLeast(LeastRanges, entry.GetProperty("ranges").GetArrayLength(), "ranges");
        foreach (var range in entry.GetProperty("ranges").EnumerateArray())
        {
            for (var c = Convert.ToInt32(range[0].GetString(), 16); c <= Convert.ToInt32(range[1].GetString(), 16); c++)
            {
                classes[c] = range[2].GetString();
            }
        }

        for (var c = 0; c < classes.Length; c++)
        {
            // The reference was asked about the planes that hold assigned characters, and about no surrogates.
            if (c is < 0xD800 or (>= 0xE000 and < 0x323B0) or (>= 0xE0000 and < 0xE0200))
            {
                yield return (c, classes[c]);
            }
        }
    }

    private static JsonElement Table(string name)
    {
        using var file = new GZipStream(File.OpenRead(Path.Combine(TestData.Goldens, "unicode", "normalizers.json.gz")), CompressionMode.Decompress);
        using var document = JsonDocument.Parse(file);
        return document.RootElement.GetProperty(name).Clone();
    }

    private static Normalizer FirstNormalizer(string folder)
    {
        using var document = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(TestData.Goldens, "tokenizers", folder, "tokenizer.json")));
        return NormalizerFactory.Create(Part(document.RootElement.GetProperty("normalizer").GetProperty("normalizers")[0].GetRawText()));
    }

    private static JsonPart Part(string json) => new("tokenizer.json", "$", JsonDocument.Parse(json).RootElement);

    private static string Show(string text) => text.Length == 0 ? "nothing" : string.Join(' ', text.EnumerateRunes().Select(static r => $"U+{r.Value:X4}"));
}
