using System.Text.Json;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Tests.Tasks;

/// <summary>
/// A model made up by a test: a WordPiece tokenizer of a few words, and a graph of two layers with two heads whose numbers are simple functions of the ids.
/// <c>last_hidden_state[i] = (id, i, 1)</c>; attention of layer l and head h from query q: 0.75 to key (q + l + h) mod S, the rest spread evenly.
/// </summary>
internal static class TinyModel
{
    public static readonly string[] Vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "##s", "##ting", "query", ":"];

    private static readonly Lazy<Tokenizer> Words = new(() =>
    {
        var folder = Directory.CreateTempSubdirectory("tiny-model");
        try
        {
            File.WriteAllText(Path.Combine(folder.FullName, "tokenizer.json"), JsonSerializer.Serialize(new
            {
                version = "1.0",
                added_tokens = Vocabulary.Take(5).Select((content, id) => new { id, content, single_word = false, lstrip = false, rstrip = false, normalized = false, special = true }),
                normalizer = new { type = "BertNormalizer", clean_text = true, handle_chinese_chars = true, strip_accents = (bool?)null, lowercase = true },
                pre_tokenizer = new { type = "BertPreTokenizer" },
                post_processor = new { type = "BertProcessing", sep = new object[] { "[SEP]", 3 }, cls = new object[] { "[CLS]", 2 } },
                decoder = new { type = "WordPiece", prefix = "##", cleanup = true },
                model = new { type = "WordPiece", unk_token = "[UNK]", continuing_subword_prefix = "##", max_input_chars_per_word = 100, vocab = Vocabulary.Select((token, id) => (token, id)).ToDictionary(pair => pair.token, pair => pair.id) },
            }));
            File.WriteAllText(Path.Combine(folder.FullName, "tokenizer_config.json"), """{"tokenizer_class": "BertTokenizer", "model_max_length": 12}""");
            return Tokenizer.Load(folder.FullName);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    });

    /// <summary>The model; <paramref name="sentence"/> null: a plain encoder.</summary>
    public static Model Create(SentencePipeline? sentence = null, AttentionKind kind = AttentionKind.Encoder, IGraphExecutor? executor = null) => new()
    {
        Manifest = new ModelManifest
        {
            Id = "tiny",
            Folder = "/models/tiny",
            Config = new ModelConfig { Root = JsonDocument.Parse("{}").RootElement, HiddenSize = 3, Layers = 2, Heads = 2, VocabularySize = Vocabulary.Length },
            Files = new OnnxFileSet("/models/tiny/onnx/model.onnx"),
            Sentence = sentence,
        },
        Graph = new GraphSummary
        {
            File = "/models/tiny/onnx/model.onnx",
            Inputs = [new GraphTensor("input_ids", ElementType.Int64, ["batch", "sequence"])],
            Outputs = [new GraphTensor("last_hidden_state", ElementType.Float, ["batch", "sequence", "3"])],
            Attention = [new AttentionOutput(0, kind, "a0", "/layer.0/Softmax"), new AttentionOutput(1, kind, "a1", "/layer.1/Softmax")],
        },
        Tokenizer = Words.Value,
        Executor = executor ?? new FakeExecutor(Run),
        MaxTokens = 12,
        Sha256 = new Lazy<Task<string>>(Task.FromResult("ab12")),
    };

    public static SentencePipeline Pipeline(params SentenceModule[] modules) =>
        new(modules, "1_Pooling/config.json", new Dictionary<string, string> { ["query"] = "query: " }, null, 12, DoLowerCase: true, null);

    /// <summary>One position of padding follows each sequence.</summary>
    public static FakeRows Run(GraphInput input)
    {
        var (length, padded) = (input.InputIds.Length, input.InputIds.Length + 1);
        var states = new float[padded * 3];
        var rows = new FakeRows();
        for (var i = 0; i < padded; i++)
        {
            (states[i * 3], states[(i * 3) + 1], states[(i * 3) + 2]) = i < length ? (input.InputIds[i], i, 1) : (1e6f, 1e6f, 1e6f);
        }

        for (var l = 0; l < 2; l++)
        {
            var attention = new float[2 * padded * padded];
            for (var h = 0; h < 2; h++)
            {
                for (var q = 0; q < padded; q++)
                {
                    for (var k = 0; k < padded; k++)
                    {
                        attention[(((h * padded) + q) * padded) + k] = k < length && q < length ? Attention(l, h, q, k, length) : 7;
                    }
                }
            }

            rows.Set($"a{l}", attention, 2, padded, padded);
        }

        return rows.Set("last_hidden_state", states, padded, 3);
    }

    public static float Attention(int layer, int head, int query, int key, int length) =>
        length == 1 ? 1 : key == (query + layer + head) % length ? 0.75f : 0.25f / (length - 1);
}
