using System.Text.Json;
using System.Text.Json.Serialization;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Generation;
using InferenceServer.Engine.Generation.Sampling;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tasks.Generate;
using InferenceServer.Http.Middleware;

namespace InferenceServer.Http.Native;

/// <summary><c>POST /api/models/{model}/generations</c>.</summary>
internal static class GenerationsEndpoint
{
    private const long BytesPerToken = 64; // its event, its id, its text
    private const long BytesPerLogprob = 64;

    /// <summary>Maps it.</summary>
    public static void MapGenerations(this IEndpointRouteBuilder routes) => routes.MapPost("/api/models/{model}/generations", RunAsync)
        .Describes("generations", "Generate text", "Text that follows a prompt, a conversation or token ids; of an encoder-decoder what it makes of the prompt (a translation, a summary). Whole, or with 'stream' as server-sent events: one a token, then one with 'usage' and 'timings', then [DONE]. What the request leaves open is as the model's generation_config.json says; temperature 0 is greedy.", "demo-gpt", """{"prompt": "The cat sleeps on the", "max_new_tokens": 20, "temperature": 0}""")
        .WithMetadata(
            new FurtherExample("as a stream", "demo-gpt", """{"prompt": "The cat sleeps on the", "max_new_tokens": 20, "temperature": 0, "stream": true}"""),
            new FurtherExample("drawn, three choices", "demo-gpt", """{"prompt": "The cat sleeps on the", "temperature": 0.8, "top_p": 0.9, "seed": 1, "n": 3, "max_new_tokens": 20}"""),
            new FurtherExample("translation with beams", "demo-translator", """{"prompt": "The cat sleeps on the sofa.", "num_beams": 4}"""))
        .WithMetadata(new LongRunning())
        .Refuses(400, 404, 408, 409, 413, 415, 422, 429, 500, 503, 504);

    private static async Task<IResult> RunAsync(InferenceCall call, JsonBody<GenerationsBody> body)
    {
        var b = body.Value;
        var task = TaskNames.Require<GenerateTask>(call.Model);
        call.Begin(TaskNames.Of(task), b.N ?? 1);
        var request = Request(b);
        if (b.Stream == true && GenerateTask.BeamsOf(call.Model, request) > 1)
        {
            throw RequestException.Unprocessable("stream", "'stream' does not go with beams, whose texts are known at the end only. Leave 'stream' out, or set 'num_beams' to 1.");
        }

        var bytes = GenerateTask.MostTokens(call.Model, request) * (BytesPerToken + (b.Logprobs is { } alternatives ? (alternatives + 1L) * BytesPerLogprob : 0));
        Bounds.Answer(bytes, call.Limits, "Ask for fewer choices, tokens or alternatives.");
        var run = await call.RunAsync(() => task.StartAsync(call.Model, request, call.Context));
        if (b.Stream == true)
        {
            call.Hold(bytes); // a client that does not read keeps what has been generated
            return new GenerationStream(run, call);
        }

        var choices = await run.CompleteAsync();
        var timings = run.Timings;
        call.Context.AddRun(timings.Queue, timings.Prefill + timings.Decode, 1);
        return new JsonAnswer<GenerationsAnswer>(
            new GenerationsAnswer(
                call.Model.Manifest.Id,
                [.. choices.Select(choice => new GenerationAnswerChoice(choice.Index, choice.Text, choice.TokenIds, choice.Finish) { Score = choice.Score, Logprobs = choice.LogProbs?.Select(token => Logprob(call.Model, token)) })],
                UsageOf(run),
                TimingsOf(run)),
            call,
            bytes);
    }

    /// <summary>What a generation cost.</summary>
    internal static GenerationUsage UsageOf(GenerationRun run) => new(run.PromptTokens + run.GeneratedTokens, run.PromptTokens, run.GeneratedTokens);

    /// <summary>How long it took.</summary>
    internal static GenerationAnswerTimings TimingsOf(GenerationRun run)
    {
        var timings = run.Timings;
        return new(Rounded(timings.Queue), Rounded(timings.Prefill), Rounded(timings.Decode), run.GeneratedTokens > 1 ? Rounded(timings.Decode / (run.GeneratedTokens - 1)) : null);
    }

    /// <summary>A token with its log-probability.</summary>
    internal static TokenLogprob Logprob(Model model, SelectedToken token) => new(token.Id, TextOf(model, token.Id), token.LogProb)
    {
        Top = token.Top?.Select(other => new TokenLogprob(other.Id, TextOf(model, other.Id), other.LogProb)),
    };

    private static string TextOf(Model model, int id) => model.Generator!.TextOf(id);

    private static double Rounded(TimeSpan time) => Math.Round(time.TotalMilliseconds, 2);

    private static GenerateRequest Request(GenerationsBody b) => new()
    {
        Prompt = b.Prompt,
        InputIds = b.InputIds,
        Messages = JsonDiagnosis.Readable(b.Messages, "messages"),
        ChatTemplateKwargs = JsonDiagnosis.Readable(b.ChatTemplateKwargs, "chat_template_kwargs"),
        N = b.N ?? 1,
        MaxNewTokens = b.MaxNewTokens,
        MinNewTokens = b.MinNewTokens,
        Temperature = b.Temperature,
        TopK = b.TopK,
        TopP = b.TopP,
        MinP = b.MinP,
        TypicalP = b.TypicalP,
        RepetitionPenalty = b.RepetitionPenalty,
        PresencePenalty = b.PresencePenalty,
        FrequencyPenalty = b.FrequencyPenalty,
        NoRepeatNgramSize = b.NoRepeatNgramSize,
        LogitBias = b.LogitBias,
        BadWordsIds = b.BadWordsIds,
        SuppressTokens = b.SuppressTokens,
        Stop = b.Stop?.Texts ?? [],
        StopTokenIds = b.StopTokenIds ?? [],
        Seed = b.Seed,
        NumBeams = b.NumBeams,
        LengthPenalty = b.LengthPenalty,
        EarlyStopping = b.EarlyStopping?.Value,
        ForcedBosTokenId = b.ForcedBosTokenId,
        Echo = b.Echo ?? false,
        Logprobs = b.Logprobs,
    };
}

/// <summary>Marks an endpoint whose requests have the deadline of generations.</summary>
internal sealed record LongRunning;

/// <summary>What is to be generated: of 'prompt', 'input_ids' and 'messages' exactly one. Defaults are the model's own (generation_config.json).</summary>
internal sealed record GenerationsBody
{
    /// <summary>The text to go on from; of an encoder-decoder the source.</summary>
    public string? Prompt { get; init; }

    /// <summary>Token ids to go on from, as they are.</summary>
    public int[]? InputIds { get; init; }

    /// <summary>A conversation, rendered by the model's chat template: a list of objects with 'role' and 'content'.</summary>
    public JsonElement? Messages { get; init; }

    /// <summary>Further variables of the chat template, such as {"enable_thinking": false}.</summary>
    public JsonElement? ChatTemplateKwargs { get; init; }

    /// <summary>Whether tokens are sent as they come, as server-sent events. Default: false.</summary>
    public bool? Stream { get; init; }

    /// <summary>Choices of one prompt. Default: 1.</summary>
    public int? N { get; init; }

    /// <summary>Most tokens to generate; what does not fit the model's length is cut. Default: 256.</summary>
    public int? MaxNewTokens { get; init; }

    /// <summary>Least tokens before an end token. Default: 0.</summary>
    public int? MinNewTokens { get; init; }

    /// <summary>0: the best token each time. Above: tokens are drawn, the higher the more surprising.</summary>
    public double? Temperature { get; init; }

    /// <summary>Draw among the best so many tokens; 0: all.</summary>
    public int? TopK { get; init; }

    /// <summary>Draw among the fewest best tokens that have this probability together; 1: all.</summary>
    public double? TopP { get; init; }

    /// <summary>Draw among tokens with at least this share of the best one's probability; 0: all.</summary>
    public double? MinP { get; init; }

    /// <summary>Locally typical sampling: draw among the tokens of the most expected information that have this probability together; 1: all.</summary>
    public double? TypicalP { get; init; }

    /// <summary>Above 1: tokens that have occurred, in the prompt too, become less likely. 1: off.</summary>
    public double? RepetitionPenalty { get; init; }

    /// <summary>Taken off the logits of tokens that have been generated. Default: 0.</summary>
    public double? PresencePenalty { get; init; }

    /// <summary>Taken off the logits of tokens for each time that they have been generated. Default: 0.</summary>
    public double? FrequencyPenalty { get; init; }

    /// <summary>No sequence of so many tokens occurs twice; 0: off.</summary>
    public int? NoRepeatNgramSize { get; init; }

    /// <summary>Added to the logits of tokens: {"id": bias}, biases from -100 to 100.</summary>
    public Dictionary<string, double>? LogitBias { get; init; }

    /// <summary>Sequences of token ids that must not occur.</summary>
    public int[][]? BadWordsIds { get; init; }

    /// <summary>Token ids that must not occur.</summary>
    public int[]? SuppressTokens { get; init; }

    /// <summary>A text, or a list of texts, that ends the generation; it is not in the answer.</summary>
    public StopTexts? Stop { get; init; }

    /// <summary>Token ids that end the generation, beside the model's own.</summary>
    public int[]? StopTokenIds { get; init; }

    /// <summary>Makes drawn tokens the same again, whatever else the server does.</summary>
    public long? Seed { get; init; }

    /// <summary>Beams of a beam search; 1: none.</summary>
    public int? NumBeams { get; init; }

    /// <summary>Exponent of the length that a beam's score is divided by: above 0 favours long texts. Default: 1.</summary>
    public double? LengthPenalty { get; init; }

    /// <summary>When a beam search ends: true (as many texts have ended as there are beams), false (no running beam is likely to be better), or "never" (none can be).</summary>
    public EarlyStoppingChoice? EarlyStopping { get; init; }

    /// <summary>The first token to generate, such as the language of a translation.</summary>
    public int? ForcedBosTokenId { get; init; }

    /// <summary>Whether the text begins with the prompt. Default: false.</summary>
    public bool? Echo { get; init; }

    /// <summary>Give the log-probability of each token, and so many of the best alternatives (0 to 20).</summary>
    public int? Logprobs { get; init; }
}

/// <summary>A text, or a list of texts.</summary>
[Expected("a text or a list of texts")]
[JsonConverter(typeof(Converter))]
internal sealed record StopTexts(IReadOnlyList<string> Texts)
{
    private sealed class Converter : JsonConverter<StopTexts>
    {
        public override StopTexts Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
        {
            if (reader.TokenType == JsonTokenType.String)
            {
                return new StopTexts([reader.GetString()!]);
            }

            var texts = new List<string>();
            if (reader.TokenType != JsonTokenType.StartArray)
            {
                throw new JsonException();
            }

            while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
            {
                texts.Add(reader.TokenType == JsonTokenType.String ? reader.GetString()! : throw new JsonException());
            }

            return new StopTexts(texts);
        }

        public override void Write(Utf8JsonWriter writer, StopTexts value, JsonSerializerOptions options) => throw new NotSupportedException();
    }
}

/// <summary>true, false or "never".</summary>
[Expected("true, false or \"never\"")]
[JsonConverter(typeof(Converter))]
internal sealed record EarlyStoppingChoice(EarlyStopping Value)
{
    private sealed class Converter : JsonConverter<EarlyStoppingChoice>
    {
        public override EarlyStoppingChoice Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => new(reader.TokenType switch
        {
            JsonTokenType.True => EarlyStopping.True,
            JsonTokenType.False => EarlyStopping.False,
            JsonTokenType.String when reader.ValueTextEquals("never") => EarlyStopping.Never,
            _ => throw new JsonException(),
        });

        public override void Write(Utf8JsonWriter writer, EarlyStoppingChoice value, JsonSerializerOptions options) => throw new NotSupportedException();
    }
}

/// <summary>What was generated.</summary>
/// <param name="Model">The model's id.</param>
/// <param name="Choices">The choices; of beams the best first.</param>
/// <param name="Usage">What it cost.</param>
/// <param name="Timings">How long it took.</param>
internal sealed record GenerationsAnswer(string Model, IReadOnlyList<GenerationAnswerChoice> Choices, GenerationUsage Usage, GenerationAnswerTimings Timings);

/// <summary>One choice.</summary>
/// <param name="Index">Its place.</param>
/// <param name="Text">Its text, without the end token.</param>
/// <param name="TokenIds">All that was generated, the end token included.</param>
/// <param name="FinishReason">stop: an end token or a stop text came; length: as many tokens as were allowed.</param>
internal sealed record GenerationAnswerChoice(int Index, string Text, IReadOnlyList<int> TokenIds, FinishReason FinishReason)
{
    /// <summary>Of beams: sum of log-probabilities / length ^ length penalty.</summary>
    public double? Score { get; init; }

    /// <summary>One entry a token, where 'logprobs' was asked for: by the model's own distribution, before penalties and temperature.</summary>
    public IEnumerable<TokenLogprob>? Logprobs { get; init; }
}

/// <summary>A token with its log-probability.</summary>
/// <param name="TokenId">The token.</param>
/// <param name="Token">Its text.</param>
/// <param name="Logprob">Natural logarithm of its probability.</param>
internal sealed record TokenLogprob(int TokenId, string Token, double Logprob)
{
    /// <summary>The best alternatives, best first.</summary>
    public IEnumerable<TokenLogprob>? Top { get; init; }
}

/// <summary>What a generation cost.</summary>
/// <param name="Tokens">Tokens of the prompt and generated ones.</param>
/// <param name="PromptTokens">Tokens of the prompt, special tokens included.</param>
/// <param name="CompletionTokens">Generated tokens of all choices, end tokens included.</param>
internal sealed record GenerationUsage(int Tokens, int PromptTokens, int CompletionTokens);

/// <summary>How long a generation took, in milliseconds.</summary>
/// <param name="QueueMs">Until its first run began.</param>
/// <param name="PrefillMs">From then to the first token.</param>
/// <param name="DecodeMs">From then to the last token.</param>
/// <param name="MsPerToken">Mean of a token after the first.</param>
internal sealed record GenerationAnswerTimings(double QueueMs, double PrefillMs, double DecodeMs, double? MsPerToken);
