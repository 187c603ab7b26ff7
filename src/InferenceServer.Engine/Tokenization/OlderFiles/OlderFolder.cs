using System.Text.Json.Nodes;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Manifest;

namespace InferenceServer.Engine.Tokenization.OlderFiles;

/// <summary>A tokenizer.json made of older files.</summary>
/// <param name="File">The vocabulary file, for complaints.</param>
/// <param name="Json">The tokenizer.json, UTF-8.</param>
/// <param name="Target">The tokenizer.json of target texts, where an encoder-decoder has another one.</param>
internal sealed record ConvertedFolder(string File, byte[] Json, byte[]? Target);

/// <summary>
/// Folders without tokenizer.json: their files are turned into the tokenizer.json that transformers' converters
/// (<c>convert_slow_tokenizer</c>, 4.57) would write, so that everything behind is one.
/// </summary>
internal static class OlderFolder
{
    /// <summary>Converts a folder, or returns null when it holds no vocabulary that is known.</summary>
    /// <exception cref="ModelLoadException">A file is damaged or missing, or the tokenizer's class is not supported.</exception>
    public static ConvertedFolder? Convert(string folder, FolderSettings settings, List<string> notes)
    {
        if (Has("source.spm") && Has("vocab.json"))
        {
            return new ConvertedFolder(
                "source.spm",
                Bytes(MarianFolder.Convert(folder, settings, "source.spm")),
                Has("target.spm") ? Bytes(MarianFolder.Convert(folder, settings, "target.spm")) : null);
        }

        foreach (var file in (ReadOnlySpan<string>)["spiece.model", "spm.model", "sentencepiece.bpe.model", "tokenizer.model", "sentencepiece.model"])
        {
            if (Has(file))
            {
                return new ConvertedFolder(file, Bytes(SentencePieceFolder.Convert(folder, file, settings)), null);
            }
        }

        if (Has("vocab.json") && Has("merges.txt"))
        {
            return new ConvertedFolder("vocab.json", Bytes(BpeFolder.Convert(folder, settings)), null);
        }

        return Has("vocab.txt") ? new ConvertedFolder("vocab.txt", Bytes(WordPieceFolder.Convert(folder, settings, notes)), null) : null;

        bool Has(string name) => FolderFiles.Find(folder, name) is not null;
    }

    /// <summary>Reads a file.</summary>
    internal static byte[] Read(string folder, string name) =>
        FolderFiles.Read(folder, name, TokenizerConfig.MostBytes) ?? throw new ModelLoadException($"{name} is missing; download the folder again.");

    /// <summary>The lines of a text file, without their ends.</summary>
    internal static IEnumerable<string> Lines(string folder, string name) =>
        System.Text.Encoding.UTF8.GetString(Read(folder, name)).TrimStart('\uFEFF').Split('\n').Select(static line => line.TrimEnd('\r'));

    /// <summary>Reads vocab.json: tokens and their ids.</summary>
    internal static Dictionary<string, int> Vocabulary(string folder)
    {
        using var document = TokenizerConfig.Open(folder, "vocab.json")!;
        var root = new JsonPart("vocab.json", "$", document.RootElement);
        var vocabulary = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (var member in root.AsMembers())
        {
            vocabulary[member.Name] = root.Of(member).AsInt();
        }

        return vocabulary;
    }

    /// <summary>The complaint about a tokenizer class.</summary>
    internal static ModelLoadException Unsupported(FolderSettings settings, string file) => new(
        settings.Class!.StartsWith(FolderSettings.ByModelType, StringComparison.Ordinal)
            ? $"config.json: $.model_type: no file names the tokenizer's class, and which one '{settings.Class[FolderSettings.ByModelType.Length..]}' has over {file} is not known here; save the model's fast tokenizer (tokenizer.json) into the folder, or name tokenizer_class in tokenizer_config.json."
            : $"tokenizer_config.json: $.tokenizer_class: '{settings.Class}' over {file} is not supported without a tokenizer.json; save the model's fast tokenizer into the folder.");

    /// <summary>The whole tokenizer.json.</summary>
    internal static JsonObject Assemble(JsonArray added, JsonNode? normalizer, JsonNode? preTokenizer, JsonNode? postProcessor, JsonNode? decoder, JsonObject model) => new()
    {
        ["version"] = "1.0",
        ["truncation"] = null,
        ["padding"] = null,
        ["added_tokens"] = added,
        ["normalizer"] = normalizer,
        ["pre_tokenizer"] = preTokenizer,
        ["post_processor"] = postProcessor,
        ["decoder"] = decoder,
        ["model"] = model,
    };

    /// <summary>The ids of a vocabulary in its JSON form.</summary>
    internal static JsonObject Write(IEnumerable<KeyValuePair<string, int>> vocabulary) =>
        new(vocabulary.Select(static e => KeyValuePair.Create(e.Key, (JsonNode?)e.Value)));

    private static byte[] Bytes(JsonObject json)
    {
        using var stream = new MemoryStream();
        using (var writer = new System.Text.Json.Utf8JsonWriter(stream))
        {
            json.WriteTo(writer);
        }

        return stream.ToArray();
    }
}
