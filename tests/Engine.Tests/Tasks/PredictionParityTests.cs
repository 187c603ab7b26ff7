using System.Globalization;
using System.Text;
using System.Text.Json;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tasks.FillMask;
using InferenceServer.Engine.Tasks.NextToken;
using InferenceServer.Engine.Tasks.Perplexity;
using InferenceServer.Engine.Tasks.QuestionAnswering;
using InferenceServer.Engine.Tasks.Rerank;
using InferenceServer.Engine.Tasks.TextClassification;
using InferenceServer.Engine.Tasks.TokenClassification;
using InferenceServer.Engine.Tasks.ZeroShot;
using Xunit;

namespace InferenceServer.Engine.Tests.Tasks;

/// <summary>Every prediction of every folder of the zoo beside the reference: same labels, offsets and order, scores within 1e-4.</summary>
public sealed class PredictionParityTests(ZooModels zoo)
{
    private const double Tolerance = 1e-4;

    /// <summary>How many predictions of each task the folders hold at least.</summary>
    private static readonly Dictionary<string, int> Least = new()
    {
        ["text-classification"] = 54,
        ["fill-mask"] = 26,
        ["token-classification"] = 60,
        ["question-answering"] = 9,
        ["next-token"] = 54,
        ["perplexity"] = 49,
        ["zero-shot"] = 8,
        ["rerank"] = 1,
    };

    [Fact]
    public async Task Every_folder_predicts_as_the_reference()
    {
        var table = new StringBuilder();
        var wrong = new List<string>();
        var compared = Least.ToDictionary(l => l.Key, _ => 0);
        var columns = TaskCatalogue.All.Where(t => t is IPredictionTask or RerankTask).Select(Wire.Name).ToList();
        table.AppendLine(CultureInfo.InvariantCulture, $"{"folder",-28}{string.Concat(columns.Select(c => $"{c,-22}"))}");
        foreach (var folder in (string[])[.. Expected.Folders, "demo-language", "demo-gpt"])
        {
            var entry = await zoo.Entry(folder);
            if (entry.Model is not { } model)
            {
                wrong.Add($"{folder}: {entry.State} {entry.Reason}");
                table.AppendLine(CultureInfo.InvariantCulture, $"{folder,-28}{entry.State} {entry.Reason}");
                continue;
            }

            var seen = new Dictionary<string, (int Right, int Tried)>();
            foreach (var (task, what, outcome) in Predictions(model, Expected.Of(folder)))
            {
                string? difference;
                try
                {
                    difference = await outcome;
                }
                catch (Exception e) when (e is not OperationCanceledException)
                {
                    difference = $"{e.GetType().Name} {e.Message}";
                }

                var (right, tried) = seen.GetValueOrDefault(task);
                seen[task] = (right + (difference is null ? 1 : 0), tried + 1);
                compared[task]++;
                if (difference is not null)
                {
                    wrong.Add($"{folder} {task} {what}: {difference}");
                }
            }

            var has = Wire.Names(model);
            table.AppendLine(CultureInfo.InvariantCulture, $"{folder,-28}{string.Concat(columns.Select(c => $"{(seen.TryGetValue(c, out var n) ? $"{n.Right} of {n.Tried}" : has.Contains(c) ? "offered" : "-"),-22}"))}");
        }

        Console.WriteLine(table);
        TestContext.Current.TestOutputHelper?.WriteLine(table.ToString());
        Assert.Equal(columns.Order(), Least.Keys.Order());
        Assert.All(Least, l => Checks.AtLeast(l.Value, compared[l.Key], $"predictions of {l.Key}"));
        Assert.True(wrong.Count == 0, $"{wrong.Count} differ:\n{string.Join('\n', wrong)}\n\n{table}");
    }

    [Theory]
    [InlineData("bert-classify")]
    [InlineData("distilbert-classify")]
    [InlineData("bert-ner")]
    [InlineData("roberta-ner")]
    [InlineData("bert-fill-mask-eager")]
    [InlineData("modernbert-fill-mask")]
    [InlineData("gpt2-with-past")]
    [InlineData("llama-gqa-with-past")]
    public async Task Alone_batched_and_among_64_requests_the_same(string folder)
    {
        var model = await zoo.Get(folder);
        var task = Wire.Prediction(model, null);
        TextInput[] inputs = [.. Expected.Of(folder).Cases.Where(c => Text(c) is { Length: > 0 } && (task is not FillMaskTask || c.TryGetProperty("fill_mask_top5", out _))).Select((c, i) => TextInput.Of(Text(c)!, Pair(c), i))];
        var request = (PredictionRequest)Activator.CreateInstance(task.RequestType)!;
        Assert.True(request is TextClassificationRequest or TokenClassificationRequest or FillMaskRequest or NextTokenRequest, $"{folder}: {Wire.Name(task)}");
        Checks.AtLeast(2, inputs.Length, "texts");
        var alone = new List<string>();
        foreach (var input in inputs)
        {
            alone.Add(Rounded((await task.RunAsync(model, request with { Inputs = [input] }, new RequestContext(TestContext.Current.CancellationToken)))[0]));
        }

        var together = await task.RunAsync(model, request with { Inputs = inputs }, new RequestContext(TestContext.Current.CancellationToken));
        Assert.Equal(alone, together.Select(Rounded));

        var many = await Task.WhenAll(Enumerable.Range(0, 64).Select(i => Task.Run(() =>
            task.RunAsync(model, request with { Inputs = [inputs[i % inputs.Length]] }, new RequestContext(TestContext.Current.CancellationToken)))));
        Assert.Equal(Enumerable.Range(0, 64).Select(i => alone[i % inputs.Length]), many.Select(m => Rounded(m[0])));
    }

    /// <summary>A result as text with three digits of each number; what differs in a later one is rounding in the graph.</summary>
    private static string Rounded(PredictionResult result)
    {
        var json = JsonSerializer.SerializeToNode(result, result.GetType())!;
        return string.Join(' ', Leaves(json).Select(n => n.GetValueKind() == JsonValueKind.Number ? Math.Round(n.GetValue<double>(), 3).ToString("F3", CultureInfo.InvariantCulture) : n.ToJsonString()));
    }

    private static IEnumerable<System.Text.Json.Nodes.JsonNode> Leaves(System.Text.Json.Nodes.JsonNode? node) => node switch
    {
        System.Text.Json.Nodes.JsonObject members => members.SelectMany(m => Leaves(m.Value)),
        System.Text.Json.Nodes.JsonArray items => items.SelectMany(Leaves),
        null => [],
        _ => [node],
    };

    private static string? Text(JsonElement c) => c.TryGetProperty("text", out var text) ? text.GetString() : null;

    private static string? Pair(JsonElement c) => c.TryGetProperty("text_pair", out var pair) ? pair.GetString() : null;

    private static RequestContext Context => new(TestContext.Current.CancellationToken);

    private static IEnumerable<(string Task, string What, Task<string?> Outcome)> Predictions(Model model, Expected expected)
    {
        for (var i = 0; i < expected.Cases.Count; i++)
        {
            var c = expected.Cases[i];
            var what = $"case{i}";
            if (c.TryGetProperty("scores", out var scores) && scores.ValueKind == JsonValueKind.Array)
            {
                yield return ("text-classification", what, Labels(model, c, scores, int.MaxValue));
            }

            if (c.TryGetProperty("top5", out var top))
            {
                yield return ("text-classification", what, Labels(model, c, top, 5));
            }

            if (c.TryGetProperty("fill_mask_top5", out var masks))
            {
                yield return ("fill-mask", what, Masks(model, c, masks));
            }

            if (c.TryGetProperty("entities", out var entities))
            {
                foreach (var aggregation in entities.EnumerateObject())
                {
                    yield return ("token-classification", $"{what} {aggregation.Name}", Entities(model, c, aggregation));
                }
            }

            if (c.TryGetProperty("answer", out var answer))
            {
                var arguments = c.TryGetProperty("pipeline_args", out var given) && given.ValueKind == JsonValueKind.Object ? given : default;
                yield return ("question-answering", what, Answers(model, Text(c)!, Pair(c)!, answer, arguments));
            }

            if (c.TryGetProperty("next_top5", out var next) && Text(c) is not null)
            {
                yield return ("next-token", what, Next(model, c, next));
            }

            if (c.TryGetProperty("greedy_logprobs", out var logprobs))
            {
                yield return ("perplexity", what, Logprobs(model, c, logprobs));
            }
        }

        if (expected.Root.TryGetProperty("impossible_answer", out var impossible) && impossible.ValueKind == JsonValueKind.Array)
        {
            foreach (var c in impossible.EnumerateArray())
            {
                using var handle = JsonDocument.Parse("""{"handle_impossible_answer": true}""");
                yield return ("question-answering", "impossible", Answers(model, c.GetProperty("question").GetString()!, c.GetProperty("context").GetString()!, c.GetProperty("with_handle_impossible_answer"), handle.RootElement.Clone()));
                yield return ("question-answering", "forced", Answers(model, c.GetProperty("question").GetString()!, c.GetProperty("context").GetString()!, c.GetProperty("without"), default));
            }
        }

        if (expected.Root.TryGetProperty("zero_shot", out var zeroShot))
        {
            foreach (var c in zeroShot.EnumerateArray())
            {
                yield return ("zero-shot", c.GetProperty("multi_label").GetBoolean() ? "multi" : "single", ZeroShot(model, c));
            }
        }

        if (expected.Root.TryGetProperty("rerank", out var rerank))
        {
            yield return ("rerank", "query", Rerank(model, rerank));
        }
    }

    private static async Task<T> Run<T>(Model model, string task, PredictionRequest request)
        where T : PredictionResult => (T)Assert.Single(await Wire.Prediction(model, task).RunAsync(model, request, Context));

    private static async Task<string?> Labels(Model model, JsonElement c, JsonElement scores, int count)
    {
        var result = await Run<TextClassificationResult>(model, "text-classification", new TextClassificationRequest { Inputs = [TextInput.Of(Text(c)!, Pair(c))], TopK = count });
        return Compare(
            result.Labels.Select(l => (l.Label, l.Score)),
            scores.EnumerateArray().Select(s => (s.GetProperty("label").GetString()!, s.GetProperty("score").GetDouble())).OrderByDescending(s => s.Item2));
    }

    private static async Task<string?> Masks(Model model, JsonElement c, JsonElement expected)
    {
        var result = await Run<FillMaskResult>(model, "fill-mask", new FillMaskRequest { Inputs = [TextInput.Of(Text(c)!, Pair(c))] });
        JsonElement[] masks = expected[0].ValueKind == JsonValueKind.Array ? [.. expected.EnumerateArray()] : [expected];
        var positions = c.GetProperty("mask_positions").EnumerateArray().Select(p => p.GetInt32()).ToList();
        if (!positions.SequenceEqual(result.Masks.Select(m => m.Position)))
        {
            return $"masks at {string.Join(' ', result.Masks.Select(m => m.Position))}";
        }

        for (var i = 0; i < masks.Length; i++)
        {
            var mask = result.Masks[i];
            var offsets = c.GetProperty("offsets")[mask.Position];
            if ((mask.Start, mask.End) != (offsets[0].GetInt32(), offsets[1].GetInt32()))
            {
                return $"mask {i} at {mask.Start}-{mask.End}";
            }

            if (Compare(
                mask.Candidates.Select(m => ($"{m.Id} {m.Text}", m.Score)),
                masks[i].EnumerateArray().Select(m => ($"{m.GetProperty("token").GetInt32()} {m.GetProperty("token_str").GetString()}", m.GetProperty("score").GetDouble()))) is { } difference)
            {
                return difference;
            }
        }

        return null;
    }

    private static async Task<string?> Entities(Model model, JsonElement c, JsonProperty expected)
    {
        var result = await Run<TokenClassificationResult>(model, "token-classification", new TokenClassificationRequest
        {
            Inputs = [TextInput.Of(Text(c)!)],
            Aggregation = Enum.Parse<Aggregation>(expected.Name, ignoreCase: true),
        });
        return Compare(
            result.Entities.Select(e => ($"{e.Label} {e.Start}-{e.End} {e.TokenIndex}", e.Score)),
            expected.Value.EnumerateArray().Select(e => (
                $"{(e.TryGetProperty("entity_group", out var group) ? group : e.GetProperty("entity")).GetString()} {e.GetProperty("start").GetInt32()}-{e.GetProperty("end").GetInt32()} {(e.TryGetProperty("index", out var index) ? index.GetInt32() : null as int?)}",
                e.GetProperty("score").GetDouble())));
    }

    private static async Task<string?> Answers(Model model, string question, string context, JsonElement expected, JsonElement arguments)
    {
        int? Argument(string name) => arguments.ValueKind == JsonValueKind.Object && arguments.TryGetProperty(name, out var value) ? value.GetInt32() : null;
        var result = await Run<QuestionAnsweringResult>(model, "question-answering", new QuestionAnsweringRequest
        {
            Inputs = [TextInput.OfQuestion(question, context)],
            TopK = Argument("top_k") ?? 1,
            MaxLength = Argument("max_seq_len"),
            DocStride = Argument("doc_stride"),
            HandleImpossibleAnswer = arguments.ValueKind == JsonValueKind.Object && arguments.TryGetProperty("handle_impossible_answer", out var handle) && handle.GetBoolean(),
        });
        JsonElement[] answers = expected.ValueKind == JsonValueKind.Array ? [.. expected.EnumerateArray()] : [expected];
        return Compare(
            result.Answers.Select(a => ($"{a.Start}-{a.End} {a.Text}", a.Score)),
            answers.Select(a => ($"{a.GetProperty("start").GetInt32()}-{a.GetProperty("end").GetInt32()} {a.GetProperty("answer").GetString()}", a.GetProperty("score").GetDouble())));
    }

    private static async Task<string?> Next(Model model, JsonElement c, JsonElement expected)
    {
        var result = await Run<NextTokenResult>(model, "next-token", new NextTokenRequest { Inputs = [TextInput.Of(Text(c)!)] });
        return Compare(
            result.Candidates.Select(n => ($"{n.Id}", n.Score)),
            expected.EnumerateArray().Select(n => ($"{n.GetProperty("id").GetInt32()}", Math.Exp(n.GetProperty("logprob").GetDouble()))));
    }

    /// <summary>The log-probabilities of a greedy continuation are those of its tokens read as a text.</summary>
    private static async Task<string?> Logprobs(Model model, JsonElement c, JsonElement expected)
    {
        int[] prompt = [.. c.GetProperty("input_ids").EnumerateArray().Select(i => i.GetInt32())];
        int[] greedy = [.. c.GetProperty("greedy").EnumerateArray().Select(i => i.GetInt32())];
        var result = await Run<PerplexityResult>(model, "perplexity", new PerplexityRequest { Inputs = [TextInput.OfIds([.. prompt, .. greedy])] });
        var worst = expected.EnumerateArray().Select((e, i) => Math.Abs(e.GetDouble() - result.Tokens[prompt.Length + i].Logprob!.Value)).Max();
        var sum = result.Tokens.Sum(t => t.Logprob ?? 0);
        return worst > 1e-3 || Math.Abs(sum - result.LogProbability) > 1e-9 || Math.Abs(result.Perplexity - Math.Exp(-sum / (result.Tokens.Count - 1))) > 1e-9 ? $"differs by {worst:e1}" : null;
    }

    private static async Task<string?> ZeroShot(Model model, JsonElement c)
    {
        var result = await Run<ZeroShotResult>(model, "zero-shot", new ZeroShotRequest
        {
            Inputs = [TextInput.Of(c.GetProperty("sequence").GetString()!)],
            CandidateLabels = [.. c.GetProperty("candidate_labels").EnumerateArray().Select(l => l.GetString()!)],
            HypothesisTemplate = c.GetProperty("hypothesis_template").GetString()!,
            MultiLabel = c.GetProperty("multi_label").GetBoolean(),
        });
        return Compare(
            result.Labels.Select(l => (l.Label, l.Score)),
            c.GetProperty("labels").EnumerateArray().Zip(c.GetProperty("scores").EnumerateArray(), (l, s) => (l.GetString()!, s.GetDouble())));
    }

    private static async Task<string?> Rerank(Model model, JsonElement c)
    {
        var result = await TaskCatalogue.Get<RerankTask>().RunAsync(model, new RerankRequest
        {
            Query = c.GetProperty("query").GetString()!,
            Documents = [.. c.GetProperty("documents").EnumerateArray().Select(d => d.GetString()!)],
        }, Context);
        return Compare(
            result.Results.Select(r => ($"{r.Index}", r.Score)),
            c.GetProperty("order").EnumerateArray().Select(i => ($"{i.GetInt32()}", c.GetProperty("sigmoid_scores")[i.GetInt32()].GetDouble())));
    }

    /// <summary>Same things in the same order with the same scores: null, else what differs.</summary>
    private static string? Compare(IEnumerable<(string Name, double Score)> got, IEnumerable<(string Name, double Score)> want)
    {
        var (mine, reference) = (got.ToList(), want.ToList());
        return mine.Count == reference.Count && mine.Zip(reference).All(p => p.First.Name == p.Second.Name && Math.Abs(p.First.Score - p.Second.Score) <= Tolerance * Math.Max(1, Math.Abs(p.Second.Score)))
            ? null
            : $"[{string.Join(", ", mine.Select(p => $"{p.Name} {p.Score:F5}"))}] instead of [{string.Join(", ", reference.Select(p => $"{p.Name} {p.Score:F5}"))}]";
    }
}
