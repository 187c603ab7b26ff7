using System.Numerics.Tensors;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tasks.Attention;
using Xunit;

namespace InferenceServer.Engine.Tests.Tasks.Attention;

/// <summary>What is answered as q, k, v, scores and context is what the probabilities and the next layer are made of, whatever the export: recomputed, it gives the same.</summary>
public sealed class AttentionComponentsTests(ITestOutputHelper output)
{
    private const float Tolerance = 1e-4f;
    private static readonly AttentionPart[] All = Enum.GetValues<AttentionPart>();

    /// <summary>Folders whose scores have more than a mask between them and the softmax: relative positions.</summary>
    private static readonly string[] Biased = ["zoo/t5-small-like", "zoo/mpnet-embed", "zoo/deberta-v2-nli", "zoo/deberta-v2-classify-old"];

    /// <summary>Folders whose graph keeps them inside an operator: turned queries in GroupQueryAttention, branches of a merged decoder.</summary>
    private static readonly string[] Hidden = ["zoo/llama-genai-gqa"];

    public static TheoryData<string> Folders => AttentionParityTests.Folders;

    [Theory]
    [MemberData(nameof(Folders))]
    public async Task Softmax_of_scaled_products_times_values_is_what_the_model_has(string name)
    {
        var folder = TestData.ModelFolder(name);
        var (loader, model) = await ReferenceCases.Load(folder);
        await using var _ = loader;
        if (model.Graph.Attention.Count == 0)
        {
            output.WriteLine($"{name}: no attention in the graph: {model.Graph.AttentionUnavailable}");
            Assert.Empty(model.Graph.AttentionParts);
            return;
        }

        var kinds = model.Graph.Attention.Concat(model.DecoderGraph?.Attention ?? []).Select(tap => tap.Kind).Distinct().ToList();
        foreach (var kind in kinds)
        {
            var graph = kind == AttentionKind.Encoder ? model.Graph : model.DecoderGraph ?? model.Graph;
            if (Hidden.Contains(name) || graph.AttentionParts.Count == 0)
            {
                var refused = await Assert.ThrowsAsync<InferenceException>(() => RunAsync(model, kind));
                Assert.Contains("does not show", refused.Message, StringComparison.Ordinal);
                Assert.True(Hidden.Contains(name) || (name == "zoo/marian-en-pt" && kind != AttentionKind.Encoder), $"{name} {kind} shows nothing"); // no other may stop to
                continue;
            }

            var result = await RunAsync(model, kind);
            var parts = result.Components!.Tensors.ToDictionary(part => part.Part);
            var worst = Check(result, parts, softmax: !Biased.Contains(name) || kind == AttentionKind.Cross);
            output.WriteLine($"{name} {kind}: largest difference {worst:e1}, scale {string.Join(", ", result.Components.Scale.Distinct())}");
        }
    }

    [Fact]
    public async Task Components_follow_the_tokens_layers_and_heads_that_are_chosen()
    {
        var (loader, model) = await ReferenceCases.Load(TestData.ModelFolder("demo-models/demo-bert"));
        await using var _ = loader;
        var whole = (await RunAsync(model, AttentionKind.Encoder)).Components!.Tensors;
        var some = (await new AttentionTask().RunAsync(model, new AttentionRequest { Text = Text, Components = All, Layers = [2, 1], Heads = [5], QueryRange = (2, 4), ExcludeSpecial = true }, new RequestContext())).Components!.Tensors;
        foreach (var (all, part) in whole.Zip(some))
        {
            Assert.Equal(all.Part, part.Part);
            var byKey = part.Part is AttentionPart.K or AttentionPart.V;
            Assert.Equal([2, 1, byKey ? all.Shape[2] - 2 : 2, part.Part == AttentionPart.Scores ? all.Shape[3] - 2 : all.Shape[3]], part.Shape);
            var (heads, rows, width) = (all.Shape[1], all.Shape[2], all.Shape[3]);
            var at = (((2 * heads) + 5) * rows + (byKey ? 1 : 2)) * width;
            Assert.Equal(all.Values[at + (part.Part == AttentionPart.Scores ? 1 : 0)], part.Values[0], Tolerance);
        }
    }

    private const string Text = "The cat sat on it";

    private static Task<AttentionResult> RunAsync(Model model, AttentionKind kind) => new AttentionTask().RunAsync(
        model,
        new AttentionRequest { Text = Text, Kind = kind, Components = All, TargetIds = kind != AttentionKind.Encoder && model.DecoderGraph is not null ? [2, 5, 7, 9] : null },
        new RequestContext());

    private static float Check(AttentionResult result, Dictionary<AttentionPart, AttentionComponent> parts, bool softmax)
    {
        var (q, k, v, scores, context) = (parts[AttentionPart.Q], parts[AttentionPart.K], parts[AttentionPart.V], parts[AttentionPart.Scores], parts[AttentionPart.Context]);
        var (layers, heads, queries, keys, d) = (q.Shape[0], q.Shape[1], q.Shape[2], k.Shape[2], q.Shape[3]);
        var width = v.Shape[3];
        Assert.Equal(result.Shape, scores.Shape);
        Assert.Equal(layers, result.Components!.Scale.Count);
        var worst = 0f;
        void Same(float expected, float actual)
        {
            worst = Math.Max(worst, Math.Abs(expected - actual));
            Assert.InRange(Math.Abs(expected - actual), 0, Tolerance * Math.Max(1, Math.Abs(expected)));
        }

        for (var block = 0; block < layers * heads; block++)
        {
            var scale = (float)result.Components.Scale[block / heads]!.Value;
            for (var i = 0; i < queries; i++)
            {
                var row = (block * queries) + i;
                var weights = result.Values.AsSpan(row * keys, keys);
                var own = scores.Values.AsSpan(row * keys, keys);
                for (var j = 0; j < keys; j++)
                {
                    Same(own[j], scale * TensorPrimitives.Dot(q.Values.AsSpan(row * d, d), k.Values.AsSpan(((block * keys) + j) * d, d)));
                }

                if (softmax)
                {
                    // Over what the mask leaves: a query sees there what has any weight.
                    var most = float.NegativeInfinity;
                    var sum = 0.0;
                    for (var j = 0; j < keys; j++)
                    {
                        most = weights[j] > 0 ? Math.Max(most, own[j]) : most;
                    }

                    for (var j = 0; j < keys; j++)
                    {
                        sum += weights[j] > 0 ? Math.Exp(own[j] - most) : 0;
                    }

                    for (var j = 0; j < keys; j++)
                    {
                        Same(weights[j], weights[j] > 0 ? (float)(Math.Exp(own[j] - most) / sum) : 0);
                    }
                }

                for (var t = 0; t < width; t++)
                {
                    var mixed = 0f;
                    for (var j = 0; j < keys; j++)
                    {
                        mixed += weights[j] * v.Values[((((block * keys) + j) * width) + t)];
                    }

                    Same(context.Values[(row * width) + t], mixed);
                }
            }
        }

        return worst;
    }
}
