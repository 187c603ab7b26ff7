using System.Globalization;
using System.Text.Json;

namespace InferenceServer.Engine.Manifest;

/// <summary>
/// How a folder wants text to be generated: generation_config.json, what it lacks from config.json (as transformers 4.57 has it for folders without one), and from the
/// search section of genai_config.json. A member is null where no file says it; values that cannot be are left out with a note.
/// </summary>
public sealed record GenerationConfig
{
    private const int MostIds = 1 << 16;

    /// <summary><c>eos_token_id</c>: each of them ends a text.</summary>
    public IReadOnlyList<int> EosTokenIds { get; private init; } = [];

    /// <summary>The file that <see cref="EosTokenIds"/> come from.</summary>
    public string? EosSource { get; private init; }

    /// <summary><c>bos_token_id</c>.</summary>
    public int? BosTokenId { get; private init; }

    /// <summary><c>decoder_start_token_id</c>.</summary>
    public int? DecoderStartTokenId { get; private init; }

    /// <summary><c>forced_bos_token_id</c>.</summary>
    public int? ForcedBosTokenId { get; private init; }

    /// <summary><c>forced_eos_token_id</c>.</summary>
    public int? ForcedEosTokenId { get; private init; }

    /// <summary><c>suppress_tokens</c>.</summary>
    public IReadOnlyList<int> SuppressTokens { get; private init; } = [];

    /// <summary><c>begin_suppress_tokens</c>.</summary>
    public IReadOnlyList<int> BeginSuppressTokens { get; private init; } = [];

    /// <summary><c>bad_words_ids</c>.</summary>
    public IReadOnlyList<IReadOnlyList<int>> BadWordsIds { get; private init; } = [];

    /// <summary><c>do_sample</c>.</summary>
    public bool DoSample { get; private init; }

    /// <summary><c>temperature</c>.</summary>
    public double? Temperature { get; private init; }

    /// <summary><c>top_k</c>.</summary>
    public int? TopK { get; private init; }

    /// <summary><c>top_p</c>.</summary>
    public double? TopP { get; private init; }

    /// <summary><c>min_p</c>.</summary>
    public double? MinP { get; private init; }

    /// <summary><c>typical_p</c>.</summary>
    public double? TypicalP { get; private init; }

    /// <summary><c>repetition_penalty</c>.</summary>
    public double? RepetitionPenalty { get; private init; }

    /// <summary><c>no_repeat_ngram_size</c>.</summary>
    public int? NoRepeatNgramSize { get; private init; }

    /// <summary><c>min_new_tokens</c>.</summary>
    public int? MinNewTokens { get; private init; }

    /// <summary><c>min_length</c>: least tokens before an end, a decoder's start token or prompt included.</summary>
    public int? MinLength { get; private init; }

    /// <summary><c>max_new_tokens</c>.</summary>
    public int? MaxNewTokens { get; private init; }

    /// <summary><c>num_beams</c>.</summary>
    public int? NumBeams { get; private init; }

    /// <summary><c>length_penalty</c>.</summary>
    public double? LengthPenalty { get; private init; }

    /// <summary><c>early_stopping</c>: true, false, or null for "never".</summary>
    public (bool? Value, bool IsGiven) EarlyStopping { get; private init; }

    /// <summary>What a person should know of the values.</summary>
    public IReadOnlyList<string> Notes { get; private init; } = [];

    /// <summary>What differs from greedy decoding without penalties, for people; empty where nothing does.</summary>
    public string Describe()
    {
        List<string> parts = [];
        void Add(string name, IFormattable? value)
        {
            if (value is not null)
            {
                parts.Add(string.Create(CultureInfo.InvariantCulture, $"{name} {value}"));
            }
        }

        if (DoSample)
        {
            parts.Add("drawn at random");
            Add("temperature", Temperature);
            Add("top_k", TopK);
            Add("top_p", TopP);
            Add("min_p", MinP);
            Add("typical_p", TypicalP);
        }
        else
        {
            parts.Add("greedy");
        }

        Add("repetition_penalty", RepetitionPenalty is 1 ? null : RepetitionPenalty);
        Add("no_repeat_ngram_size", NoRepeatNgramSize is 0 ? null : NoRepeatNgramSize);
        Add("num_beams", NumBeams is 1 ? null : NumBeams);
        Add("length_penalty", NumBeams > 1 ? LengthPenalty : null);
        Add("min_new_tokens", MinNewTokens is 0 ? null : MinNewTokens);
        Add("min_length", MinLength is 0 ? null : MinLength);
        Add("max_new_tokens", MaxNewTokens);
        if (BadWordsIds.Count > 0)
        {
            parts.Add($"{BadWordsIds.Count} bad_words_ids");
        }

        if (SuppressTokens.Count > 0)
        {
            parts.Add($"{SuppressTokens.Count} suppress_tokens");
        }

        Add("forced_bos_token_id", ForcedBosTokenId);
        Add("forced_eos_token_id", ForcedEosTokenId);
        return string.Join(", ", parts);
    }

    /// <summary>What the files say together.</summary>
    /// <param name="generation">generation_config.json, or null.</param>
    /// <param name="config">config.json, or genai_config.json where there is none.</param>
    public static GenerationConfig From(JsonElement? generation, JsonElement config)
    {
        var reader = new Reader(generation is null ? "config.json" : "generation_config.json", generation ?? config);
        var older = new Reader("config.json", config);
        var genai = new Reader("genai_config.json", config.ValueKind == JsonValueKind.Object && config.TryGetProperty("search", out var search) ? search : default);
        var inner = new Reader("genai_config.json", config.ValueKind == JsonValueKind.Object && config.TryGetProperty("model", out var model) ? model : default);
        var sampler = genai.Exists && generation is null ? genai : reader;
        var ends = reader.Ids("eos_token_id");
        var source = reader.File;
        if (ends.Count == 0)
        {
            ends = older.Ids("eos_token_id");
            source = older.File;
        }

        if (ends.Count == 0)
        {
            ends = inner.Ids("eos_token_id");
            source = inner.File;
        }

        var read = new GenerationConfig
        {
            EosTokenIds = ends,
            EosSource = ends.Count > 0 ? source : null,
            BosTokenId = reader.Id("bos_token_id") ?? older.Id("bos_token_id") ?? inner.Id("bos_token_id"),
            DecoderStartTokenId = reader.Id("decoder_start_token_id") ?? older.Id("decoder_start_token_id"),
            ForcedBosTokenId = reader.Id("forced_bos_token_id"),
            ForcedEosTokenId = reader.Id("forced_eos_token_id"),
            SuppressTokens = reader.Ids("suppress_tokens"),
            BeginSuppressTokens = reader.Ids("begin_suppress_tokens"),
            BadWordsIds = reader.Words("bad_words_ids"),
            DoSample = sampler.Flag("do_sample"),
            Temperature = sampler.Number("temperature", 0, 1000),
            TopK = sampler.Whole("top_k", 0),
            TopP = sampler.Number("top_p", 0, 1),
            MinP = sampler.Number("min_p", 0, 1),
            TypicalP = sampler.Number("typical_p", 0, 1),
            RepetitionPenalty = sampler.Number("repetition_penalty", 1e-3, 1000),
            NoRepeatNgramSize = sampler.Whole("no_repeat_ngram_size", 0),
            MinNewTokens = reader.Whole("min_new_tokens", 0),
            MinLength = reader.Whole("min_length", 0),
            MaxNewTokens = reader.Whole("max_new_tokens", 1),
            NumBeams = sampler.Whole("num_beams", 1),
            LengthPenalty = sampler.Number("length_penalty", -100, 100),
            EarlyStopping = sampler.EarlyStopping("early_stopping"),
        };
        return read with { Notes = [.. ((Reader[])[reader, older, genai, inner]).SelectMany(r => r.Notes).Distinct()] };
    }

    private sealed class Reader(string file, JsonElement root)
    {
        private readonly List<string> notes = [];

        public string File { get; } = file;

        public bool Exists => root.ValueKind == JsonValueKind.Object;

        public IReadOnlyList<string> Notes => notes;

        public JsonElement? Get(string name) => Exists && root.TryGetProperty(name, out var value) && value.ValueKind is not (JsonValueKind.Null or JsonValueKind.Undefined) ? value : null;

        public bool Flag(string name)
        {
            if (Get(name) is { ValueKind: not (JsonValueKind.True or JsonValueKind.False) } value)
            {
                Ill(name, value, "true or false");
            }

            return Get(name) is { ValueKind: JsonValueKind.True };
        }

        public (bool? Value, bool IsGiven) EarlyStopping(string name)
        {
            switch (Get(name))
            {
                case null:
                    return default;
                case { ValueKind: JsonValueKind.True }:
                    return (true, true);
                case { ValueKind: JsonValueKind.False }:
                    return (false, true);
                case { ValueKind: JsonValueKind.String } text when text.ValueEquals("never"):
                    return (null, true);
                case { } value:
                    Ill(name, value, "true, false or \"never\"");
                    return default;
            }
        }

        public double? Number(string name, double least, double most)
        {
            if (Get(name) is not { } value)
            {
                return null;
            }

            if (value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out var number) && number >= least && number <= most)
            {
                return number;
            }

            Ill(name, value, string.Create(CultureInfo.InvariantCulture, $"a number from {least} to {most}"));
            return null;
        }

        public int? Whole(string name, int least)
        {
            if (Get(name) is not { } value)
            {
                return null;
            }

            if (value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out var number) && number == Math.Floor(number) && number >= least && number <= int.MaxValue)
            {
                return (int)number;
            }

            Ill(name, value, $"a whole number of at least {least}");
            return null;
        }

        public int? Id(string name)
        {
            var ids = Ids(name);
            return ids.Count > 0 ? ids[0] : null;
        }

        public List<int> Ids(string name)
        {
            if (Get(name) is not { } value)
            {
                return [];
            }

            var elements = value.ValueKind == JsonValueKind.Array ? value.EnumerateArray().Take(MostIds).ToList() : [value];
            var ids = new List<int>();
            foreach (var element in elements)
            {
                if (element.ValueKind == JsonValueKind.Number && element.TryGetDouble(out var number) && number == Math.Floor(number) && number is >= 0 and <= int.MaxValue)
                {
                    ids.Add((int)number);
                }
                else if (element.ValueKind != JsonValueKind.Number || !element.TryGetDouble(out number) || number != -1)
                {
                    Ill(name, value, "a token id or a list of them");
                    return [];
                }
            }

            return ids;
        }

        public IReadOnlyList<IReadOnlyList<int>> Words(string name)
        {
            if (Get(name) is not { } value)
            {
                return [];
            }

            if (value.ValueKind != JsonValueKind.Array || value.EnumerateArray().Any(word => word.ValueKind != JsonValueKind.Array || word.EnumerateArray().Any(id => id.ValueKind != JsonValueKind.Number || !id.TryGetInt32(out _))))
            {
                Ill(name, value, "a list of lists of token ids");
                return [];
            }

            return [.. value.EnumerateArray().Take(MostIds).Select(word => (IReadOnlyList<int>)[.. word.EnumerateArray().Select(id => id.GetInt32())])];
        }

        private void Ill(string name, JsonElement value, string wanted)
        {
            var raw = value.GetRawText();
            notes.Add($"{File}: $.{name} is {(raw.Length > 60 ? raw[..60] + "..." : raw)}, which is not {wanted}; it is left out.");
        }
    }
}
