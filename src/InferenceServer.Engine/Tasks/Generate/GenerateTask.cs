using System.Globalization;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Generation;
using InferenceServer.Engine.Generation.Sampling;
using InferenceServer.Engine.Scheduling;

namespace InferenceServer.Engine.Tasks.Generate;

/// <summary>Text that follows a prompt, or that an encoder-decoder makes of a source.</summary>
/// <remarks>
/// What the request leaves open is as the model's files say, every value of the request goes before them, 0 and 1 too. Without a temperature a token is drawn when the
/// files say so, or when the request has a seed or one of the cuts that only drawing knows; else the best is taken.
/// </remarks>
public sealed class GenerateTask : ITask
{
    /// <summary>Most tokens of a text where neither the request nor the folder says it.</summary>
    public const int DefaultNewTokens = 256;

    private const int MostLogProbs = 20;
    private const int MostStops = 64;
    private const int MostStopCharacters = 1_000;
    private const int MostBiases = 1_024;
    private const float MostBias = 100;
    private const double MostPenalty = 100;

    /// <inheritdoc/>
    public bool Supports(Model model) => model.CanGenerate;

    /// <inheritdoc/>
    public string? WhyNot(Model model) => model.NoGenerator;

    /// <summary>Beams of a request: its own; else the folder's, unless the request asks for what beams do not have.</summary>
    public static int BeamsOf(Model model, GenerateRequest request) =>
        request.NumBeams ?? (request.Temperature > 0 || request.Logprobs is not null || request.Stop.Count > 0 ? 1 : model.Generator!.Defaults.NumBeams) ?? 1;

    /// <summary>Most tokens that a request can be answered with, of all choices together, as far as its prompt is not known.</summary>
    public static long MostTokens(Model model, GenerateRequest request) =>
        (long)Math.Clamp(request.N, 1, model.Generator!.MaxSequences) * Math.Min(model.Generator.MaxTokens, Math.Max(1, request.MaxNewTokens ?? model.Generator.Defaults.MaxNewTokens ?? DefaultNewTokens));

    /// <summary>Begins to generate.</summary>
    /// <param name="model">A model that the task supports.</param>
    /// <param name="request">What is asked.</param>
    /// <param name="context">The request's cancellation and costs.</param>
    /// <exception cref="InferenceException">An argument cannot be served; or the queue refused.</exception>
    public async Task<GenerationRun> StartAsync(Model model, GenerateRequest request, RequestContext context)
    {
        var generator = model.Generator!;
        var (argument, input) = InputOf(model, request, context);
        var checks = new Checks(model.Graph.TokenRows ?? model.Manifest.Config.VocabularySize ?? model.Tokenizer.VocabularySize);
        Check(request, generator, BeamsOf(model, request), checks);
        var prompt = input.Prepare(model, context).Graph.InputIds;
        var room = generator.MaxTokens - (generator.IsEncoderDecoder ? 0 : prompt.Length);
        if (room < 1)
        {
            throw InferenceException.Unprocessable(argument, $"{argument} is {prompt.Length} tokens long, and prompt and text together may have {generator.MaxTokens} ({model.MaxTokensSource}): there is no room for a token. Shorten it.");
        }

        var plan = Plan(request, generator, BeamsOf(model, request), prompt.Length, room);
        if (request.Echo)
        {
            plan = plan with { Echo = request.Prompt ?? model.Tokenizer.Decode(prompt, skipSpecialTokens: true) };
        }

        return await generator.StartAsync(prompt, plan, context).ConfigureAwait(false);
    }

    private static (Argument Argument, TextInput Input) InputOf(Model model, GenerateRequest request, RequestContext context)
    {
        var prompt = Argument.Of(nameof(request.Prompt));
        var ids = Argument.Of(nameof(request.InputIds));
        var messages = Argument.Of(nameof(request.Messages));
        Argument[] given = [.. ((Argument Argument, bool Is)[])[(prompt, request.Prompt is not null), (ids, request.InputIds is not null), (messages, request.Messages is not null)] is var all ? all.Where(a => a.Is).Select(a => a.Argument) : []];
        if (given.Length != 1)
        {
            throw given.Length == 0
                ? InferenceException.Unprocessable(prompt, $"There is no prompt: send {prompt} (a text), {ids} (token ids) or {messages} (a conversation).")
                : InferenceException.Unprocessable(given[1], $"{given[0]} and {given[1]} both are the prompt. Send one of them.");
        }

        if (request.ChatTemplateKwargs is not null && request.Messages is null)
        {
            var kwargs = Argument.Of(nameof(request.ChatTemplateKwargs));
            throw InferenceException.Unprocessable(kwargs, $"{kwargs} are for the chat template, which renders {messages}. Leave {kwargs} out.");
        }

        return request.Prompt is { } text ? (prompt, TextInput.Of(text) with { Argument = prompt, MayBeEmpty = model.Generator!.IsEncoderDecoder })
            : request.InputIds is { } list ? (ids, TextInput.OfIds(list) with { Argument = ids })
            : (messages, TextInput.Of(Conversation.Render(model, request, context)) with { Argument = messages, AddSpecialTokens = false });
    }

    private static void Check(GenerateRequest request, Generator generator, int numBeams, Checks checks)
    {
        checks.Whole(nameof(request.N), request.N, 1, generator.MaxSequences);
        checks.Whole(nameof(request.MaxNewTokens), request.MaxNewTokens, 1, int.MaxValue);
        checks.Whole(nameof(request.MinNewTokens), request.MinNewTokens, 0, request.MaxNewTokens ?? int.MaxValue);
        checks.Number(nameof(request.Temperature), request.Temperature, 0, 1_000);
        checks.Whole(nameof(request.TopK), request.TopK, 0, int.MaxValue);
        checks.Number(nameof(request.TopP), request.TopP, 0, 1);
        checks.Number(nameof(request.MinP), request.MinP, 0, 1);
        checks.Number(nameof(request.TypicalP), request.TypicalP, 0, 1);
        checks.Number(nameof(request.RepetitionPenalty), request.RepetitionPenalty, 0.001, 1_000);
        checks.Number(nameof(request.PresencePenalty), request.PresencePenalty, -MostPenalty, MostPenalty);
        checks.Number(nameof(request.FrequencyPenalty), request.FrequencyPenalty, -MostPenalty, MostPenalty);
        checks.Whole(nameof(request.NoRepeatNgramSize), request.NoRepeatNgramSize, 0, int.MaxValue);
        checks.Whole(nameof(request.Logprobs), request.Logprobs, 0, MostLogProbs);
        checks.Number(nameof(request.LengthPenalty), request.LengthPenalty, -MostPenalty, MostPenalty);
        checks.Ids(nameof(request.SuppressTokens), request.SuppressTokens, MostBiases);
        checks.Ids(nameof(request.StopTokenIds), request.StopTokenIds, MostBiases);
        checks.Ids(nameof(request.ForcedBosTokenId), request.ForcedBosTokenId is { } id ? [id] : null, 1);
        checks.Biases(request.LogitBias);
        checks.Words(request.BadWordsIds);
        checks.Stops(request.Stop);

        var beams = Argument.Of(nameof(request.NumBeams));
        checks.Whole(nameof(request.NumBeams), request.NumBeams, 1, generator.MaxSequences);
        if (numBeams > 1)
        {
            checks.Refuse(nameof(request.Temperature), request.Temperature > 0, beams, "beams are not drawn");
            checks.Refuse(nameof(request.Logprobs), request.Logprobs is not null, beams, "beams have a score instead");
            checks.Refuse(nameof(request.Stop), request.Stop.Count > 0, beams, "beams end with a token");
            checks.Whole(nameof(request.N), request.N, 1, numBeams);
        }
        else
        {
            checks.Refuse(nameof(request.LengthPenalty), request.LengthPenalty is not null, beams, "it is for beams");
            checks.Refuse(nameof(request.EarlyStopping), request.EarlyStopping is not null, beams, "it is for beams");
        }
    }

    private static GenerationPlan Plan(GenerateRequest request, Generator generator, int beams, int promptLength, int room)
    {
        var files = generator.Defaults;
        var most = Math.Min(room, request.MaxNewTokens ?? files.MaxNewTokens ?? DefaultNewTokens);
        var draws = beams == 1 && (request.Temperature is { } asked ? (float)asked > 0 : (files.DoSample && !((float?)files.Temperature == 0)) || request.Seed is not null || request.TopK is not null || request.TopP is not null || request.MinP is not null || request.TypicalP is not null);
        int[] ends = [.. files.EosTokenIds.Concat(request.StopTokenIds).Distinct()];
        var sampling = new SamplingOptions
        {
            DoSample = draws,
            Temperature = (float?)request.Temperature is > 0 and var own ? own : files.DoSample && (float?)files.Temperature is > 0 and var theirs ? theirs : 1,
            TopK = request.TopK ?? files.TopK ?? 0,
            TopP = (float)(request.TopP ?? files.TopP ?? 1),
            MinP = (float)(request.MinP ?? files.MinP ?? 0),
            TypicalP = (float)(request.TypicalP ?? files.TypicalP ?? 1),
            RepetitionPenalty = (float)(request.RepetitionPenalty ?? files.RepetitionPenalty ?? 1),
            PresencePenalty = (float)(request.PresencePenalty ?? 0),
            FrequencyPenalty = (float)(request.FrequencyPenalty ?? 0),
            NoRepeatNgramSize = request.NoRepeatNgramSize ?? files.NoRepeatNgramSize ?? 0,
            LogitBias = request.LogitBias?.ToDictionary(bias => int.Parse(bias.Key, CultureInfo.InvariantCulture), bias => (float)bias.Value) ?? [],
            BadWordsIds = request.BadWordsIds ?? files.BadWordsIds,
            SuppressTokens = request.SuppressTokens ?? files.SuppressTokens,
            BeginSuppressTokens = files.BeginSuppressTokens,
            MinNewTokens = Math.Min(request.MinNewTokens ?? files.MinNewTokens ?? Math.Max(0, (files.MinLength ?? 0) - (generator.IsEncoderDecoder ? 1 : promptLength)), most),
            MaxNewTokens = most,
            EosTokenIds = ends,
            ForcedBosTokenId = request.ForcedBosTokenId ?? (generator.IsEncoderDecoder || promptLength == 1 ? files.ForcedBosTokenId : null),
            ForcedEosTokenId = files.ForcedEosTokenId,
            LogProbs = request.Logprobs,
        };
        return new GenerationPlan
        {
            Sampling = sampling,
            Beams = beams == 1 ? null : new BeamOptions(
                sampling,
                beams,
                request.LengthPenalty ?? files.LengthPenalty ?? 1,
                request.EarlyStopping ?? (files.EarlyStopping is { IsGiven: true } early ? early.Value switch { true => EarlyStopping.True, false => EarlyStopping.False, null => EarlyStopping.Never } : EarlyStopping.False),
                request.N),
            Choices = request.N,
            Seed = unchecked((ulong)(request.Seed ?? Random.Shared.NextInt64())),
            Ends = [.. ends],
            Stops = request.Stop,
        };
    }

    /// <summary>Checks of arguments by their names.</summary>
    private sealed class Checks(int vocabulary)
    {
        public void Whole(string name, int? value, int least, int most)
        {
            if (value is { } given && (given < least || given > most))
            {
                var argument = Argument.Of(name);
                throw InferenceException.Unprocessable(argument, most == int.MaxValue
                    ? $"{argument} is {given}; it must be at least {least}. Send {least} or more, or leave it out."
                    : (ErrorText)$"{argument} is {given}; it must be from {least} to {most}. Change it, or leave it out.");
            }
        }

        public void Number(string name, double? value, double least, double most)
        {
            if (value is { } given && !(given >= least && given <= most))
            {
                var argument = Argument.Of(name);
                throw InferenceException.Unprocessable(argument, $"{argument} is {given}; it must be from {least} to {most}. Change it, or leave it out.");
            }
        }

        public void Ids(string name, IReadOnlyList<int>? ids, int most)
        {
            var argument = Argument.Of(name);
            Count(argument, ids?.Count ?? 0, most);
            for (var i = 0; i < ids?.Count; i++)
            {
                Id(argument[i], ids[i]);
            }
        }

        public void Biases(IReadOnlyDictionary<string, double>? biases)
        {
            var argument = Argument.Of(nameof(GenerateRequest.LogitBias));
            Count(argument, biases?.Count ?? 0, MostBiases);
            foreach (var (key, value) in biases ?? new Dictionary<string, double>())
            {
                if (!int.TryParse(key, NumberStyles.None, CultureInfo.InvariantCulture, out var id))
                {
                    throw InferenceException.Unprocessable(argument, $"{argument} has the key '{(key.Length > 40 ? key[..40] + "..." : key)}', which is no token id. Name tokens by their ids, as in {{\"42\": -5}}.");
                }

                Id(argument, id);
                if (!(Math.Abs(value) <= MostBias))
                {
                    throw InferenceException.Unprocessable(argument, $"{argument} is {value} for the token {id}; it must be from {-MostBias} to {MostBias}. Change it.");
                }
            }
        }

        public void Words(IReadOnlyList<IReadOnlyList<int>>? words)
        {
            var argument = Argument.Of(nameof(GenerateRequest.BadWordsIds));
            Count(argument, words?.Count ?? 0, MostBiases);
            for (var i = 0; i < words?.Count; i++)
            {
                if (words[i].Count == 0)
                {
                    throw InferenceException.Unprocessable(argument[i], $"{argument[i]} is empty. Send at least one token id, or leave the list out.");
                }

                for (var j = 0; j < words[i].Count; j++)
                {
                    Id(argument[i][j], words[i][j]);
                }
            }
        }

        public void Stops(IReadOnlyList<string> stops)
        {
            var argument = Argument.Of(nameof(GenerateRequest.Stop));
            Count(argument, stops.Count, MostStops);
            for (var i = 0; i < stops.Count; i++)
            {
                if (stops[i].Length is 0 or > MostStopCharacters)
                {
                    throw InferenceException.Unprocessable(argument[i], $"{argument[i]} has {stops[i].Length} characters; a stop text has 1 to {MostStopCharacters}. Change it, or leave it out.");
                }
            }
        }

        public void Refuse(string name, bool isGiven, Argument beams, string why)
        {
            if (isGiven)
            {
                var argument = Argument.Of(name);
                throw InferenceException.Unprocessable(argument, $"{argument} does not go with this {beams}: {why}. Leave it out, or change {beams}.");
            }
        }

        private static void Count(Argument argument, int count, int most)
        {
            if (count > most)
            {
                throw InferenceException.Unprocessable(argument, $"{argument} has {count} entries; at most {most} are taken. Send fewer.");
            }
        }

        private void Id(Argument argument, int id)
        {
            if ((uint)id >= (uint)vocabulary)
            {
                throw InferenceException.Unprocessable(argument, $"{argument} names the token {id}; token ids of this model go from 0 to {vocabulary - 1}. Change it.");
            }
        }
    }
}
