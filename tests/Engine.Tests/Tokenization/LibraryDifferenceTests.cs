using System.Text;
using System.Text.Json;
using Microsoft.ML.Tokenizers;
using Xunit;
using Tokenizer = InferenceServer.Engine.Tokenization.Tokenizer;

namespace InferenceServer.Engine.Tests.Tokenization;

/// <summary>
/// The models beside those of Microsoft.ML.Tokenizers, an implementation of its own: word by word, where that library's defects
/// (normalisation, splitting) play no part, both must give the same ids.
/// </summary>
public sealed class LibraryDifferenceTests
{
    [Fact]
    public void WordPiece_cuts_words_alike()
    {
        var folder = Path.Combine(TestData.Goldens, "tokenizers", "bert-uncased");
        var ours = Tokenizer.Load(folder);
        var library = WordPieceTokenizer.Create(Path.Combine(folder, "vocab.txt"), new WordPieceOptions { MaxInputCharsPerWord = 100, UnknownToken = "[UNK]" });
        foreach (var word in Words(folder))
        {
            Assert.Equal(library.EncodeToIds(word), ours.Encode(word, addSpecialTokens: false).Ids);
        }
    }

    [Fact]
    public void Byte_level_BPE_merges_words_alike()
    {
        var folder = Path.Combine(TestData.Goldens, "tokenizers", "gpt2");
        var ours = Tokenizer.Load(folder);
        using var document = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "tokenizer.json")));
        var model = document.RootElement.GetProperty("model");
        var library = BpeTokenizer.Create(new BpeOptions(model.GetProperty("vocab").EnumerateObject().ToDictionary(static m => m.Name, static m => m.Value.GetInt32()))
        {
            Merges = model.GetProperty("merges").EnumerateArray().Select(static m => m.GetString()!).ToArray(),
            ByteLevel = true,
        });
        foreach (var word in Words(folder))
        {
            Assert.Equal(library.EncodeToIds(word), ours.Encode(word, addSpecialTokens: false).Ids);
        }
    }

    // Words of lower-case letters: one piece for every pre-tokenizer, and nothing that a normalizer changes.
    private static SortedSet<string> Words(string folder)
    {
        var words = new SortedSet<string>(StringComparer.Ordinal);
        foreach (var line in GoldenTokenizerTests.Lines(TestData.Corpus(Path.GetFileName(folder))))
        {
            using var document = JsonDocument.Parse(line);
            var word = new StringBuilder();
            foreach (var c in document.RootElement.GetProperty("text").GetString() + " ")
            {
                if (char.IsAsciiLetterLower(c))
                {
                    word.Append(c);
                }
                else
                {
                    words.Add(word.ToString());
                    word.Clear();
                }
            }
        }

        words.Remove("");
        Checks.AtLeast(1000, words.Count, "words");
        return words;
    }
}
