using System.Diagnostics;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Tasks;

/// <summary>One input of a request: a text, a pair of texts, or ready token ids, with the argument of the request that it is.</summary>
public sealed record TextInput
{
    /// <summary>The inputs of a request.</summary>
    internal static readonly Argument Inputs = Argument.Of("Inputs");

    /// <summary>The second texts of a request.</summary>
    internal static readonly Argument Pairs = Argument.Of("Pairs");

    private static readonly Argument Truncate = Argument.Of("Truncate");
    private static readonly Argument TruncationDirection = Argument.Of("TruncationDirection");

    private TextInput()
    {
    }

    /// <summary>The text; null when the input is ids.</summary>
    public string? Text { get; private init; }

    /// <summary>The second text of a pair (an empty one is a pair); null when there is none.</summary>
    public string? Pair { get; private init; }

    /// <summary>Ready ids, special tokens included: they go into the graph as they are. Null when the input is text.</summary>
    public int[]? Ids { get; private init; }

    /// <summary>What of the request the text or the ids are, for messages: <c>Inputs[3]</c>.</summary>
    public Argument Argument { get; init; } = Inputs;

    /// <summary>What of the request the second text is, for messages: <c>Pairs[3]</c>.</summary>
    public Argument PairArgument { get; init; } = Pairs;

    /// <summary>Whether a text gets the special tokens of the tokenizer. Ids never do.</summary>
    public bool AddSpecialTokens { get; init; } = true;

    /// <summary>Whether a text without characters is tokenised all the same: one that a client sent with white space alone.</summary>
    internal bool MayBeEmpty { get; init; }

    /// <summary>What is changed of its tokens; null: nothing.</summary>
    internal SequenceChange? Change { get; init; }

    /// <summary>Input <paramref name="index"/> of a request as text, with the second text of a pair where there is one.</summary>
    public static TextInput Of(string text, string? pair = null, int index = 0) =>
        new() { Text = text, Pair = pair, Argument = Inputs[index], PairArgument = Pairs[index] };

    /// <summary>Input <paramref name="index"/> of a request as token ids.</summary>
    public static TextInput OfIds(int[] ids, int index = 0) => new() { Ids = ids, Argument = Inputs[index], PairArgument = Pairs[index] };

    /// <summary>Input <paramref name="index"/> of a request as a question and the context that may answer it.</summary>
    public static TextInput OfQuestion(string question, string context, int index = 0) =>
        new() { Text = question, Pair = context, Argument = Inputs[index].Property("Question"), PairArgument = Inputs[index].Property("Context") };

    /// <summary>
    /// Checks and tokenises the input. Time and tokens are counted in <paramref name="context"/>.
    /// </summary>
    /// <param name="model">The model whose tokenizer and limits hold.</param>
    /// <param name="context">The request.</param>
    /// <param name="truncation">How a text that is too long is cut; null: it is an error.</param>
    /// <param name="remedy">What a client may do about a text that is too long, beside shortening it, as a part of a sentence (<c>set truncate to true</c>).</param>
    /// <exception cref="InferenceException">The text is empty, an id is outside the vocabulary, or the input is too long.</exception>
    public PreparedInput Prepare(Model model, RequestContext context, Truncation? truncation = null, ErrorText? remedy = null)
    {
        if (Empty() is { } empty)
        {
            throw InferenceException.Unprocessable(Argument, empty);
        }

        var prepared = Ids is { } ids ? PrepareIds(model, ids, truncation) : PrepareText(model, Text!, context, truncation);
        prepared = Change?.Apply(model.Tokenizer, prepared) ?? prepared;
        var length = prepared.Graph.InputIds.Length;
        if (length > model.MaxTokens)
        {
            throw InferenceException.Unprocessable(
                Argument,
                $"{Argument} is {length} tokens long, special tokens included; the model takes at most {model.MaxTokens} ({model.MaxTokensSource}). Shorten it{(remedy is null ? (ErrorText)$"" : $", or {remedy}")}.");
        }

        if (length == 0)
        {
            throw InferenceException.Unprocessable(Argument, $"{Argument} has no tokens: at least 1 is needed. Send a text with at least one word.");
        }

        if (Ids is null)
        {
            RequireKnown(model, prepared.Encoding);
        }

        context.AddTokens(length);
        return prepared;
    }

    /// <summary>What helps against an input that is too long, beside shortening it, where a request can have it cut.</summary>
    internal static ErrorText TruncateRemedy { get; } = $"set {Truncate} to true";

    /// <summary>How inputs that are too long are cut at the model's limit, of a pair the longer text first; null: they are errors.</summary>
    /// <param name="model">The model whose limit holds.</param>
    /// <param name="truncate">Whether the request wants it.</param>
    /// <param name="direction">The side at which tokens are cut off; null: as the tokenizer's files say.</param>
    /// <exception cref="InferenceException">There is a direction, and nothing is cut.</exception>
    internal static Truncation? TruncationOf(Model model, bool truncate, Side? direction)
    {
        if (!truncate && direction is not null)
        {
            throw InferenceException.Unprocessable(TruncationDirection, $"{TruncationDirection} is for truncation: set {Truncate} to true or leave {TruncationDirection} out.");
        }

        return truncate ? new Truncation(model.MaxTokens, Direction: direction ?? model.Tokenizer.TruncationSide) { KeepsRest = false } : null;
    }

    /// <summary>Checks and tokenises all inputs of a prediction before the first of them runs.</summary>
    /// <param name="model">The model whose tokenizer and limits hold.</param>
    /// <param name="request">The inputs, at least one, and how those that are too long are cut.</param>
    /// <param name="context">The request.</param>
    /// <param name="pairs">Whether the task takes pairs.</param>
    /// <exception cref="InferenceException">There is no input, or one cannot be served.</exception>
    internal static PreparedInput[] PrepareAll(Model model, PredictionRequest request, RequestContext context, bool pairs)
    {
        var truncation = TruncationOf(model, request.Truncate, request.TruncationDirection);
        RequireAll(request.Inputs, pairs, ids: true);
        return PrepareEach(request.Inputs, context, input => input.Prepare(model, context, truncation, TruncateRemedy));
    }

    /// <summary>Prepares every input before the first of them runs; what is wrong with several of them, empty ones included, is told together.</summary>
    /// <param name="inputs">The inputs.</param>
    /// <param name="context">The request.</param>
    /// <param name="prepare">Prepares one that is not empty.</param>
    /// <param name="fullPairs">Whether a second text must not be empty either.</param>
    /// <exception cref="InferenceException">An input cannot be served; <see cref="InferenceException.Errors"/> lists all where several are.</exception>
    internal static T[] PrepareEach<T>(IReadOnlyList<TextInput> inputs, RequestContext context, Func<TextInput, T> prepare, bool fullPairs = false)
    {
        var prepared = new T[inputs.Count];
        var errors = new List<ArgumentError>();
        for (var i = 0; i < prepared.Length && errors.Count < InferenceException.MaxErrors; i++)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            var before = errors.Count;
            if (inputs[i].Empty() is { } empty)
            {
                errors.Add(new ArgumentError(inputs[i].Argument, empty));
            }

            if (fullPairs && string.IsNullOrEmpty(inputs[i].Pair))
            {
                errors.Add(new ArgumentError(inputs[i].PairArgument, EmptyText(inputs[i].PairArgument)));
            }

            if (errors.Count > before)
            {
                continue;
            }

            try
            {
                prepared[i] = prepare(inputs[i]);
            }
            catch (InferenceException e) when (e is { Code: ErrorCode.Unprocessable, Argument: not null, Limit: null })
            {
                if (!errors.Exists(error => error.Argument == e.Argument))
                {
                    errors.Add(new ArgumentError(e.Argument, e.Text));
                }
            }
        }

        return errors.Count == 0 ? prepared : throw InferenceException.Unprocessable(errors);
    }

    /// <summary>Checks the form of the inputs: that there are some, and of a kind that the task reads. Empty ones are told by <see cref="PrepareEach"/>, with all else that is wrong.</summary>
    /// <exception cref="InferenceException">There is no input, or the task takes none of that form.</exception>
    internal static void RequireAll(IReadOnlyList<TextInput> inputs, bool pairs, bool ids)
    {
        if (inputs.Count == 0)
        {
            throw InferenceException.Unprocessable(Inputs, $"{Inputs} is empty: at least 1 input is needed. Send a text or a list of texts.");
        }

        var errors = new List<ArgumentError>();
        foreach (var input in inputs)
        {
            if (errors.Count == InferenceException.MaxErrors)
            {
                break;
            }

            if (!pairs && input.Pair is not null)
            {
                throw InferenceException.Unprocessable(Pairs, $"{Pairs} cannot be used with this task, which reads single texts. Leave {Pairs} out.");
            }

            if (!ids && input.Ids is not null)
            {
                errors.Add(new ArgumentError(input.Argument, $"{input.Argument} is a list of token ids; this task needs the text. Send a string."));
            }
        }

        if (errors.Count > 0)
        {
            throw InferenceException.Unprocessable(errors);
        }
    }

    private static ErrorText EmptyText(Argument argument) => $"{argument} is empty: a text of at least 1 character is needed. Leave it out or send a text.";

    private static Truncation Within(Truncation truncation, Model model) =>
        truncation.MaxLength > model.MaxTokens ? truncation with { MaxLength = model.MaxTokens } : truncation;

    /// <summary>What is said of an input that is empty; null when it is not.</summary>
    private ErrorText? Empty() =>
        Ids is { Length: 0 } ? (ErrorText)$"{Argument} is an empty list of token ids: at least 1 is needed."
        : Ids is null && !MayBeEmpty && string.IsNullOrEmpty(Text) ? EmptyText(Argument)
        : null;

    /// <summary>The graph has a vector for every token of the text, of what was cut off into further windows too.</summary>
    /// <exception cref="InferenceException">It lacks one; the message names the input and the token.</exception>
    internal void RequireKnown(Model model, TokenEncoding encoding)
    {
        if (model.Graph.TokenRows is not { } rows)
        {
            return;
        }

        foreach (var window in (IEnumerable<TokenEncoding>)[encoding, .. encoding.Overflowing])
        {
            var at = Array.FindIndex(window.Ids, id => id >= rows);
            if (at >= 0)
            {
                var own = window.SequenceIds[at] == 1 ? PairArgument : Argument;
                throw InferenceException.Unprocessable(own, $"{own} has the token '{window.Tokens[at]}' (id {window.Ids[at]}), which the graph has no vector for: it knows the ids from 0 to {rows - 1}. Leave the token out of the text.");
            }
        }
    }

    /// <summary>Refuses a text that is too long to be tokenised at all.</summary>
    /// <exception cref="InferenceException">It has more characters than <see cref="RequestContext.MaxTextCharacters"/>.</exception>
    internal static void RequireLength(Model model, RequestContext context, Argument argument, string? text)
    {
        if (text is not null && context.CharactersFor(model.MaxTokens) is var most && text.Length > most)
        {
            throw new InferenceException(ErrorCode.Unprocessable, $"{argument} has {text.Length} characters; a text may have {most}. Send it in parts.", argument) { Limit = nameof(context.MaxTextCharacters) };
        }
    }

    private PreparedInput PrepareText(Model model, string text, RequestContext context, Truncation? truncation)
    {
        RequireLength(model, context, Argument, text);
        RequireLength(model, context, PairArgument, Pair);
        context.AddCharacters(text.Length + (Pair?.Length ?? 0));
        var start = Stopwatch.GetTimestamp();
        TokenEncoding encoding;
        try
        {
            encoding = model.Tokenizer.Encode(text, Pair, AddSpecialTokens, truncation is null ? null : Within(truncation, model), context.Work);
        }
        catch (InferenceException e) when (e.Argument is null)
        {
            throw new InferenceException(e.Code, $"{Argument} cannot be tokenised: {e.Text}", Argument, e); // the tokenizer knows a text, not which
        }

        context.AddTokenize(Stopwatch.GetElapsedTime(start));
        return new PreparedInput(this, encoding, new GraphInput(encoding.Ids, encoding.TypeIds), encoding.IsTruncated);
    }

    private PreparedInput PrepareIds(Model model, int[] ids, Truncation? truncation)
    {
        if (Pair is not null)
        {
            throw InferenceException.Unprocessable(PairArgument, $"{PairArgument} cannot go with token ids: {Argument} already is the whole sequence. Send the texts, or leave the pair out.");
        }

        var vocabulary = model.Graph.TokenRows ?? model.Manifest.Config.VocabularySize ?? model.Tokenizer.VocabularySize;
        for (var i = 0; i < ids.Length; i++)
        {
            if ((uint)ids[i] >= (uint)vocabulary)
            {
                throw InferenceException.Unprocessable(Argument[i], $"{Argument[i]} is {ids[i]}; token ids of this model go from 0 to {vocabulary - 1}.");
            }
        }

        var truncated = false;
        if (truncation is not null && Within(truncation, model).MaxLength is var limit && ids.Length > limit)
        {
            ids = truncation.Direction == Side.Right ? ids[..limit] : ids[^limit..];
            truncated = true;
        }

        return new PreparedInput(this, EncodingOf(model, ids), new GraphInput(ids), truncated);
    }

    /// <summary>The encoding of ready ids: no text, hence no offsets and no words.</summary>
    private static TokenEncoding EncodingOf(Model model, int[] ids)
    {
        var special = model.Tokenizer.SpecialIds;
        var words = new int[ids.Length];
        Array.Fill(words, -1);
        var mask = new byte[ids.Length];
        Array.Fill(mask, (byte)1);
        return new TokenEncoding
        {
            Ids = ids,
            TypeIds = new int[ids.Length],
            Offsets = new (int, int)[ids.Length],
            SpecialTokensMask = Array.ConvertAll(ids, id => special.Contains(id) ? (byte)1 : (byte)0),
            WordIds = words,
            SequenceIds = new sbyte[ids.Length],
            AttentionMask = mask,
            MakeTokens = () => Array.ConvertAll(ids, id => model.Tokenizer.IdToToken(id) ?? ""),
        };
    }
}

/// <summary>An input that can go to the queue.</summary>
/// <param name="Source">Where it came from.</param>
/// <param name="Encoding">Its tokens; for ready ids one without offsets and words.</param>
/// <param name="Graph">What goes into the graph.</param>
/// <param name="Truncated">True when something was cut off.</param>
public sealed record PreparedInput(TextInput Source, TokenEncoding Encoding, GraphInput Graph, bool Truncated)
{
    /// <summary>Number of tokens.</summary>
    public int Length => Graph.InputIds.Length;

    /// <summary>True when something was cut off, else null: as results tell it.</summary>
    internal bool? WasCut => Truncated ? true : null;

    /// <summary>Tokens of the source's texts or ids; those behind them were generated.</summary>
    internal int Given { get; init; } = Graph.InputIds.Length;
}
