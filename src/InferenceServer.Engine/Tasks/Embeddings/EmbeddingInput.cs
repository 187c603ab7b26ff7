using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Tasks.Embeddings;

/// <summary>An input ready for the queue: the prompt in front, cleaned as sentence-transformers cleans it, in one window or several.</summary>
internal sealed class EmbeddingInput
{
    private static readonly Argument PromptName = Argument.Of(nameof(EmbeddingsRequest.PromptName));
    private static readonly Argument Truncate = Argument.Of(nameof(EmbeddingsRequest.Truncate));
    private static readonly Argument Split = Argument.Of(nameof(EmbeddingsRequest.Split));

    /// <summary>What helps against an input that is too long, beside shortening it.</summary>
    public static readonly ErrorText Remedy = $"set {Truncate} or {Split} to true";

    private readonly string? text;
    private readonly string? pair;
    private readonly Shift textShift;
    private readonly Shift pairShift;

    private EmbeddingInput(Argument argument, TokenEncoding encoding, IReadOnlyList<Window> windows, bool truncated, string? text, string? pair, Shift textShift, Shift pairShift)
    {
        Argument = argument;
        Encoding = encoding;
        Windows = windows;
        Truncated = truncated;
        this.text = text;
        this.pair = pair;
        this.textShift = textShift;
        this.pairShift = pairShift;
    }

    /// <summary>What of the request it is.</summary>
    public Argument Argument { get; }

    /// <summary>The tokens of the first window.</summary>
    public TokenEncoding Encoding { get; }

    /// <summary>What is run; more than one when the input was split.</summary>
    public IReadOnlyList<Window> Windows { get; }

    /// <summary>True when something was cut off.</summary>
    public bool Truncated { get; }

    /// <summary>Tokens of all windows.</summary>
    public int TokenCount => Windows.Sum(window => window.Graph.InputIds.Length);

    /// <summary>A part of an input that is run by itself.</summary>
    /// <param name="Graph">Its tokens.</param>
    /// <param name="Weight">Tokens that count for the weight of its vector: those of the text.</param>
    /// <param name="Skip">Leading tokens that do not count in the pooling.</param>
    public sealed record Window(GraphInput Graph, int Weight, int Skip);

    /// <summary>The prompt that goes before each text: the one that was asked for, or the model's default; empty when there is none.</summary>
    public static string PromptOf(Model model, EmbeddingsRequest request)
    {
        var prompts = model.Capabilities.Prompts;
        if (request.PromptName is not { } name)
        {
            return model.Manifest.Sentence?.DefaultPrompt is { } own && prompts.TryGetValue(own, out var text) ? text : "";
        }

        if (!prompts.TryGetValue(name, out var prompt))
        {
            if (TokenVectors.RoleOf(model, name) != TextRole.Plain)
            {
                return "";
            }

            throw InferenceException.Unprocessable(PromptName, prompts.Count > 0
                ? (ErrorText)$"{PromptName} is '{name}', and the model {model.Manifest.Id} has the prompts {string.Join(", ", prompts.Keys)}. Use one of those, or leave {PromptName} out."
                : $"{PromptName} is '{name}', and the model {model.Manifest.Id} has no prompts. Leave {PromptName} out.");
        }

        return prompt;
    }

    /// <summary>Leading tokens that stem from the prompt, as sentence-transformers counts them: its tokens with their special tokens, without one at the end.</summary>
    public static int PromptTokens(Model model, string prompt)
    {
        if (prompt.Length == 0)
        {
            return 0;
        }

        var ids = model.Tokenizer.Encode(Clean(model, prompt).Text).Ids;
        return ids.Length > 0 && model.Tokenizer.SpecialIds.Contains(ids[^1]) ? ids.Length - 1 : ids.Length;
    }

    /// <summary>Checks, cleans and tokenises an input.</summary>
    public static EmbeddingInput Prepare(Model model, EmbeddingsRequest request, TextInput input, string prompt, int skip, RequestContext context, ErrorText? remedy)
    {
        if (remedy is not null && (input.Pair is not null || request.Level != EmbeddingLevel.Sequence))
        {
            remedy = $"set {Truncate} to true"; // neither can be split
        }

        var direction = request.TruncationDirection ?? model.Tokenizer.TruncationSide;
        if (input.Ids is { } ids)
        {
            return request.PromptName is null
                ? PrepareIds(model, request, input, ids, direction, remedy, context)
                : throw InferenceException.Unprocessable(PromptName, $"{PromptName} goes with texts and {input.Argument} is token ids: leave {PromptName} out, or send the text.");
        }

        TextInput.RequireLength(model, context, input.Argument, input.Text); // before copies of it are made
        TextInput.RequireLength(model, context, input.PairArgument, input.Pair);
        var (cleaned, cut, added) = Clean(model, prompt + input.Text);
        var (cleanedPair, pairCut, pairAdded) = input.Pair is null ? (null, 0, []) : Clean(model, input.Pair);
        var source = TextInput.Of(cleaned, cleanedPair) with { Argument = input.Argument, PairArgument = input.PairArgument, AddSpecialTokens = input.AddSpecialTokens, MayBeEmpty = input.Text!.Length > 0 };
        if (request.Split && input.Pair is not null)
        {
            throw InferenceException.Unprocessable(Split, $"{Split} is for single texts and {input.PairArgument} is a pair: set {Truncate} to true instead, or leave {Split} out.");
        }

        var room = model.MaxTokens - model.Tokenizer.SpecialTokensToAdd(input.Pair is not null);
        var truncation = request.Split ? new Truncation(model.MaxTokens, OverlapOf(room)) : request.Truncate ? new Truncation(model.MaxTokens, Direction: direction) { KeepsRest = false } : null;
        var prepared = source.Prepare(model, context, truncation, remedy);
        var windows = new List<Window> { WindowOf(prepared.Encoding, skip) };
        if (request.Split)
        {
            foreach (var piece in prepared.Encoding.Overflowing)
            {
                context.AddTokens(piece.Length);
                windows.Add(WindowOf(piece, 0));
            }
        }

        return new EmbeddingInput(input.Argument, prepared.Encoding, windows, request.Truncate && prepared.Truncated, input.Text, input.Pair, new Shift(prompt.Length - cut, added), new Shift(-pairCut, pairAdded));
    }

    /// <summary>Tokens that a window repeats of the one before: an eighth.</summary>
    public static int OverlapOf(int room) => Math.Max(0, room / 8);

    /// <summary><c>[start, end)</c> of each token in code points of the text that the client sent.</summary>
    public (int Start, int End)[] Offsets()
    {
        var result = new (int, int)[Encoding.Length];
        var (textOffsets, pairOffsets) = (new TextOffsets(text ?? ""), new TextOffsets(pair ?? ""));
        for (var i = 0; i < result.Length; i++)
        {
            result[i] = (text is null ? -1 : Encoding.SequenceIds[i]) switch
            {
                0 => Shifted(Encoding.Offsets[i], textShift, text!.Length, textOffsets),
                1 => Shifted(Encoding.Offsets[i], pairShift, pair!.Length, pairOffsets),
                _ => (0, 0),
            };
        }

        return result;
    }

    private static (int Start, int End) Shifted((int Start, int End) span, Shift shift, int length, TextOffsets offsets) =>
        offsets.ToCodePoints((Math.Clamp(shift.Back(span.Start), 0, length), Math.Clamp(shift.Back(span.End), 0, length)));

    private static EmbeddingInput PrepareIds(Model model, EmbeddingsRequest request, TextInput input, int[] ids, Side direction, ErrorText? remedy, RequestContext context)
    {
        if (!request.Split || ids.Length <= model.MaxTokens)
        {
            var prepared = input.Prepare(model, context, request.Truncate ? new Truncation(model.MaxTokens, Direction: direction) : null, remedy);
            return new EmbeddingInput(input.Argument, prepared.Encoding, [WindowOf(prepared.Encoding, 0)], prepared.Truncated, null, null, default, default);
        }

        var windows = new List<Window>();
        TokenEncoding? first = null;
        var step = model.MaxTokens - OverlapOf(model.MaxTokens);
        for (var start = 0; ; start += step)
        {
            var end = Math.Min(start + model.MaxTokens, ids.Length);
            var part = (TextInput.OfIds(ids[start..end]) with { Argument = input.Argument, PairArgument = input.PairArgument }).Prepare(model, context);
            first ??= part.Encoding;
            windows.Add(WindowOf(part.Encoding, 0));
            if (end == ids.Length)
            {
                return new EmbeddingInput(input.Argument, first, windows, truncated: false, null, null, default, default);
            }
        }
    }

    private static Window WindowOf(TokenEncoding encoding, int skip) =>
        new(new GraphInput(encoding.Ids, encoding.TypeIds), Math.Max(1, encoding.SpecialTokensMask.Count(mask => mask == 0)), skip);

    /// <summary>
    /// What sentence-transformers 5.1 does to a text before its tokenizer: white space at both ends is cut off, letters are lowered where the folder says so, those of special tokens in
    /// the text too. Folders that are not sentence-transformers' keep the text.
    /// </summary>
    private static (string Text, int Cut, List<int> Added) Clean(Model model, string text)
    {
        if (model.Manifest.Sentence is not { } sentence)
        {
            return (text, 0, []);
        }

        text = PythonText.Strip(text, out var cut);
        return sentence.DoLowerCase ? (PythonText.Lower(text, out var added), cut, added) : (text, cut, []);
    }

    /// <summary>How the text that is tokenised lies to the one that was sent.</summary>
    /// <param name="Before">UTF-16 units that were put before the text, less those that were cut off.</param>
    /// <param name="Added">Where units were added in it, in rising order.</param>
    private readonly record struct Shift(int Before, List<int>? Added)
    {
        /// <summary>The place in the text that was sent.</summary>
        public int Back(int at)
        {
            var before = Added?.BinarySearch(at) ?? 0; // no place stands twice
            return at - Before - (before < 0 ? ~before : before);
        }
    }
}
