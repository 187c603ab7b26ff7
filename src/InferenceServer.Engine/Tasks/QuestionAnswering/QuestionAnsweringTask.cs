using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Tasks.QuestionAnswering;

/// <summary>
/// The part of a context that answers a question, by a span head, equal to the question-answering pipeline of transformers 4.57.
/// </summary>
/// <remarks>
/// 1. Question and context become windows that overlap by <c>doc_stride</c>. 2. Start and end logits of each window become
/// probabilities over the context's tokens and [CLS]. 3. <see cref="SpanSearch"/> takes the best spans. 4. Spans are widened to
/// whole words, and equal answers (letter case aside) are added up. 5. The empty answer, if it may win, has the probability that
/// the least sure window gives to [CLS].
/// </remarks>
public sealed class QuestionAnsweringTask : PredictionTask<QuestionAnsweringRequest, QuestionAnsweringResult>
{
    private const int DefaultWindow = 384;
    private const int DefaultStride = 128;

    private static readonly Argument TopK = Argument.Of(nameof(QuestionAnsweringRequest.TopK));
    private static readonly Argument MaxLength = Argument.Of(nameof(QuestionAnsweringRequest.MaxLength));
    private static readonly Argument DocStride = Argument.Of(nameof(QuestionAnsweringRequest.DocStride));
    private static readonly Argument MaxAnswerTokens = Argument.Of(nameof(QuestionAnsweringRequest.MaxAnswerTokens));

    /// <inheritdoc/>
    public override bool Supports(Model model) => model.Capabilities.Head is { Kind: HeadKind.QuestionAnswering };

    /// <inheritdoc/>
    public override async Task<IReadOnlyList<QuestionAnsweringResult>> RunAsync(Model model, QuestionAnsweringRequest request, RequestContext context)
    {
        Parameter.AtLeast(TopK, request.TopK, 1);
        Parameter.AtLeast(MaxAnswerTokens, request.MaxAnswerTokens, 1);
        Parameter.Listed(TopK, request.TopK, request.Inputs.Count, int.MaxValue);
        _ = TextInput.TruncationOf(model, request.Truncate, request.TruncationDirection); // windows read a context of any length: there is nothing to cut
        TextInput.RequireAll(request.Inputs, pairs: true, ids: false);
        var windows = TextInput.PrepareEach(request.Inputs, context, input => Windows(model, input, request, context), fullPairs: true);
        var head = model.Capabilities.Head!;
        Argument[] arguments = [.. windows.SelectMany((own, i) => own.Select(_ => TextInput.Inputs[i]))];
        var rows = await model.Executor.RunAsync(
            [.. windows.SelectMany(own => own.Select(window => new GraphInput(window.Ids, window.TypeIds)))],
            [head.Output, head.EndOutput!],
            (i, row) => (Starts: Finite.Require(row[head.Output].Data[..row.Length], arguments[i]).ToArray(), Ends: Finite.Require(row[head.EndOutput!].Data[..row.Length], arguments[i]).ToArray()),
            context).ConfigureAwait(false);
        var results = new QuestionAnsweringResult[request.Inputs.Count];
        var next = 0;
        for (var i = 0; i < results.Length; i++)
        {
            results[i] = Answer(model, request.Inputs[i].Pair!, windows[i], rows.AsSpan(next, windows[i].Count), request);
            next += windows[i].Count;
        }

        return results;
    }

    private static QuestionAnsweringResult Answer(
        Model model, string text, List<TokenEncoding> windows, ReadOnlySpan<(float[] Starts, float[] Ends)> rows, QuestionAnsweringRequest parameters)
    {
        // Widening to words makes some spans equal: more than top_k are looked at, as many as the reference does.
        var count = (int)Math.Min((2L * parameters.TopK) + 10, int.MaxValue);
        var contextSide = (sbyte)(QuestionFirst(model) ? 1 : 0);
        var emptyScore = double.MaxValue;
        var answers = new List<(string Text, double Score, int Start, int End)>();
        var places = new Dictionary<string, int>(StringComparer.Ordinal);
        for (var w = 0; w < windows.Count; w++)
        {
            var search = new SpanSearch(windows[w], contextSide, model.Tokenizer.Named.Cls?.Id, rows[w].Starts, rows[w].Ends);
            emptyScore = Math.Min(emptyScore, search.EmptyScore);
            foreach (var (start, end, score) in search.Best(count, parameters.MaxAnswerTokens))
            {
                var (from, to) = Words(windows[w], contextSide, start, end);
                var answer = from < to ? text[from..to] : "";
                var key = answer.ToLowerInvariant();
                if (places.TryGetValue(key, out var place))
                {
                    answers[place] = answers[place] with { Score = answers[place].Score + score };
                }
                else
                {
                    places.Add(key, answers.Count);
                    answers.Add((answer, score, from, to));
                }
            }
        }

        if (parameters.HandleImpossibleAnswer)
        {
            answers.Add(("", emptyScore, 0, 0));
        }

        var offsets = new TextOffsets(text);
        return new QuestionAnsweringResult([.. answers
            .OrderByDescending(answer => answer.Score)
            .Take(parameters.TopK)
            .Select(answer => new Answer(answer.Text, answer.Score, offsets.ToCodePoints(answer.Start), offsets.ToCodePoints(answer.End)))]);
    }

    /// <summary>The characters of the whole words of a span, within its window; the tokens' own where they belong to no word.</summary>
    private static (int Start, int End) Words(TokenEncoding window, sbyte side, int start, int end)
    {
        var (startWord, endWord) = (window.WordIds[start], window.WordIds[end]);
        if (startWord < 0 || endWord < 0)
        {
            return (window.Offsets[start].Start, window.Offsets[end].End);
        }

        var (first, last) = (start, end);
        while (first > 0 && window.SequenceIds[first - 1] == side && window.WordIds[first - 1] == startWord)
        {
            first--;
        }

        while (last + 1 < window.Length && window.SequenceIds[last + 1] == side && window.WordIds[last + 1] == endWord)
        {
            last++;
        }

        return (window.Offsets[first].Start, window.Offsets[last].End);
    }

    /// <summary>Models that pad at the left have the context first.</summary>
    private static bool QuestionFirst(Model model) => model.Tokenizer.PaddingSide == Side.Right;

    private static List<TokenEncoding> Windows(Model model, TextInput input, QuestionAnsweringRequest parameters, RequestContext context)
    {
        var length = parameters.MaxLength ?? Math.Min(model.MaxTokens, DefaultWindow);
        if (length < 1 || length > model.MaxTokens)
        {
            throw InferenceException.Unprocessable(MaxLength, $"{MaxLength} is {length}; a window of this model has from 1 to {model.MaxTokens} tokens. Send such a value, or leave it out.");
        }

        var stride = parameters.DocStride ?? Math.Min(length / 2, DefaultStride);
        if (stride < 0 || stride >= length)
        {
            throw InferenceException.Unprocessable(DocStride, $"{DocStride} is {stride}; it must be from 0 to {length - 1}, less than the tokens of a window ({MaxLength}). Send such a value, or leave it out.");
        }

        TextInput.RequireLength(model, context, input.Argument, input.Text);
        TextInput.RequireLength(model, context, input.PairArgument, input.Pair);
        context.AddCharacters(input.Text!.Length + input.Pair!.Length);
        var watch = System.Diagnostics.Stopwatch.GetTimestamp();
        var question = model.Tokenizer.Encode(input.Text!, addSpecialTokens: false, work: context.Work).Length;
        var room = length - model.Tokenizer.SpecialTokensToAdd(pair: true) - question;
        if (room < 1)
        {
            throw InferenceException.Unprocessable(
                input.Argument,
                $"{input.Argument} is {question} tokens long, which leaves no room for the context in a window of {length}; at most {length - model.Tokenizer.SpecialTokensToAdd(pair: true) - 1} fit. Shorten it{(length < model.MaxTokens ? (ErrorText)$", or raise {MaxLength} (at most {model.MaxTokens})" : $"")}.");
        }

        // Windows must advance: the default gives way to a long question, a stride that was asked for does not.
        if (parameters.DocStride is null)
        {
            stride = Math.Min(stride, room - 1);
        }

        var (first, second) = QuestionFirst(model) ? (input.Text!, input.Pair!) : (input.Pair!, input.Text!);
        TokenEncoding encoding;
        if (stride < room)
        {
            encoding = model.Tokenizer.Encode(first, second, truncation: new Truncation(
                length, stride, QuestionFirst(model) ? TruncationStrategy.OnlySecond : TruncationStrategy.OnlyFirst), work: context.Work);
        }
        else if ((encoding = model.Tokenizer.Encode(first, second, work: context.Work)).Length > length)
        {
            throw InferenceException.Unprocessable(
                DocStride,
                $"{DocStride} is {stride}, but beside the question a window of {length} has room for {room} tokens of the context, and windows must advance. Send at most {room - 1}, or leave it out.");
        }

        context.AddTokenize(System.Diagnostics.Stopwatch.GetElapsedTime(watch));
        if (encoding.Length == 0)
        {
            throw InferenceException.Unprocessable(input.Argument, $"{input.Argument} and {input.PairArgument} have no tokens: at least 1 is needed. Send texts with at least one word.");
        }

        (QuestionFirst(model) ? input : input with { Argument = input.PairArgument, PairArgument = input.Argument }).RequireKnown(model, encoding);
        List<TokenEncoding> windows = [encoding, .. encoding.Overflowing];
        context.AddTokens(windows.Sum(window => window.Length));
        return windows;
    }
}
