using System.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Tasks;

/// <summary>One input of a request: a text, a pair of texts, or ready token ids, with the name that the wire has for it.</summary>
public sealed record TextInput
{
    private TextInput()
    {
    }

    /// <summary>The text; null when the input is ids.</summary>
    public string? Text { get; private init; }

    /// <summary>The second text of a pair (an empty one is a pair); null when there is none.</summary>
    public string? Pair { get; private init; }

    /// <summary>Ready ids, special tokens included: they go into the graph as they are. Null when the input is text.</summary>
    public int[]? Ids { get; private init; }

    /// <summary>Wire path of the input (<c>inputs[3]</c>), for messages.</summary>
    public string Field { get; init; } = "inputs";

    /// <summary>Wire path of the pair (<c>pairs[3]</c>), for messages.</summary>
    public string PairField { get; init; } = "pairs";

    /// <summary>Whether a text gets the special tokens of the tokenizer. Ids never do.</summary>
    public bool AddSpecialTokens { get; init; } = true;

    /// <summary>Input <paramref name="index"/> of a request as text, with the second text of a pair where there is one.</summary>
    public static TextInput Of(string text, string? pair = null, int index = 0) =>
        new() { Text = text, Pair = pair, Field = $"inputs[{index}]", PairField = $"pairs[{index}]" };

    /// <summary>Input <paramref name="index"/> of a request as token ids.</summary>
    public static TextInput OfIds(int[] ids, int index = 0) => new() { Ids = ids, Field = $"inputs[{index}]", PairField = $"pairs[{index}]" };

    /// <summary>Input <paramref name="index"/> of a request as a question and the context that may answer it.</summary>
    public static TextInput OfQuestion(string question, string context, int index = 0) =>
        new() { Text = question, Pair = context, Field = $"inputs[{index}].question", PairField = $"inputs[{index}].context" };

    /// <summary>
    /// Checks and tokenises the input. Time and tokens are counted in <paramref name="context"/>.
    /// </summary>
    /// <param name="model">The model whose tokenizer and limits hold.</param>
    /// <param name="context">The request.</param>
    /// <param name="truncation">How a text that is too long is cut; null: it is an error.</param>
    /// <param name="remedy">What a client may do about a text that is too long, beside shortening it, as a part of a sentence (<c>set truncate to true</c>).</param>
    /// <exception cref="InferenceException">The text is empty, an id is outside the vocabulary, or the input is too long.</exception>
    public PreparedInput Prepare(Model model, RequestContext context, Truncation? truncation = null, string? remedy = null)
    {
        var prepared = Ids is { } ids ? PrepareIds(model, ids, truncation) : PrepareText(model, Text!, context, truncation);
        var length = prepared.Graph.InputIds.Length;
        if (length > model.MaxTokens)
        {
            throw InferenceException.Unprocessable(
                Field,
                $"{Field} is {length} tokens long, special tokens included; the model takes at most {model.MaxTokens}. Shorten it{(remedy is null ? "" : $", or {remedy}")}.");
        }

        if (length == 0)
        {
            throw InferenceException.Unprocessable(Field, $"{Field} has no tokens: at least 1 is needed. Send a text with at least one word.");
        }

        context.AddTokens(length);
        return prepared;
    }

    /// <summary>Checks and tokenises all inputs of a prediction before the first of them runs.</summary>
    /// <param name="model">The model whose tokenizer and limits hold.</param>
    /// <param name="inputs">The inputs; at least one.</param>
    /// <param name="context">The request.</param>
    /// <param name="task">Name of the task, for messages.</param>
    /// <param name="pairs">Whether the task takes pairs.</param>
    /// <param name="ids">Whether the task takes ready ids.</param>
    /// <exception cref="InferenceException">There is no input, or one cannot be served.</exception>
    internal static PreparedInput[] PrepareAll(Model model, IReadOnlyList<TextInput> inputs, RequestContext context, string task, bool pairs, bool ids = true)
    {
        RequireAll(inputs, task, pairs, ids);
        var prepared = new PreparedInput[inputs.Count];
        for (var i = 0; i < prepared.Length; i++)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            prepared[i] = inputs[i].Prepare(model, context);
        }

        return prepared;
    }

    /// <summary>Checks what does not need the tokenizer.</summary>
    /// <exception cref="InferenceException">There is no input, or the task takes none of that form.</exception>
    internal static void RequireAll(IReadOnlyList<TextInput> inputs, string task, bool pairs, bool ids)
    {
        if (inputs.Count == 0)
        {
            throw InferenceException.Unprocessable("inputs", "inputs is empty: at least 1 input is needed. Send a text or a list of texts.");
        }

        foreach (var input in inputs)
        {
            if (!pairs && input.Pair is not null)
            {
                throw InferenceException.Unprocessable("pairs", $"pairs cannot be used with the task {task}, which reads single texts. Leave pairs out.");
            }

            if (!ids && input.Ids is not null)
            {
                throw InferenceException.Unprocessable(input.Field, $"{input.Field} is a list of token ids; the task {task} needs the text. Send a string.");
            }
        }
    }

    private static Truncation Within(Truncation truncation, Model model) =>
        truncation.MaxLength > model.MaxTokens ? truncation with { MaxLength = model.MaxTokens } : truncation;

    private PreparedInput PrepareText(Model model, string text, RequestContext context, Truncation? truncation)
    {
        if (string.IsNullOrEmpty(text))
        {
            throw InferenceException.Unprocessable(Field, $"{Field} is empty: a text of at least 1 character is needed. Leave it out or send a text.");
        }

        var start = Stopwatch.GetTimestamp();
        var encoding = model.Tokenizer.Encode(text, Pair, AddSpecialTokens, truncation is null ? null : Within(truncation, model));
        context.AddTokenize(Stopwatch.GetElapsedTime(start));
        return new PreparedInput(this, encoding, new GraphInput(encoding.Ids, encoding.TypeIds), encoding.IsTruncated);
    }

    private PreparedInput PrepareIds(Model model, int[] ids, Truncation? truncation)
    {
        if (ids.Length == 0)
        {
            throw InferenceException.Unprocessable(Field, $"{Field} is an empty list of token ids: at least 1 is needed.");
        }

        if (Pair is not null)
        {
            throw InferenceException.Unprocessable(PairField, $"{PairField} cannot go with token ids: {Field} already is the whole sequence. Send the texts, or leave the pair out.");
        }

        var vocabulary = model.Manifest.Config.VocabularySize ?? model.Tokenizer.VocabularySize;
        for (var i = 0; i < ids.Length; i++)
        {
            if ((uint)ids[i] >= (uint)vocabulary)
            {
                throw InferenceException.Unprocessable($"{Field}[{i}]", $"{Field}[{i}] is {ids[i]}; token ids of this model go from 0 to {vocabulary - 1}.");
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
}
