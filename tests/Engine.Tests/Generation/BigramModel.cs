using Google.Protobuf;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Generation;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Serving;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tasks.Generate;
using InferenceServer.Engine.Tests.Execution;
using Xunit;

namespace InferenceServer.Engine.Tests.Generation;

/// <summary>
/// A model whose next token is known in closed form: one node, <c>logits = Gather(T, input_ids)</c>, with T <c>[vocabulary, vocabulary]</c> the logits after each token. The
/// tokenizer is that of a zoo folder with 800 tokens, of which 799 is the end.
/// </summary>
internal sealed class BigramModel : IAsyncDisposable
{
    /// <summary>Tokens.</summary>
    public const int Vocabulary = 800;

    /// <summary>The end token.</summary>
    public const int End = 799;

    private readonly TemporaryFolder directory;
    private readonly ModelRegistry registry;

    private BigramModel(TemporaryFolder directory, ModelRegistry registry, Model model) => (this.directory, this.registry, Model) = (directory, registry, model);

    /// <summary>The model.</summary>
    public Model Model { get; }

    /// <summary>Loads a model in which the logits after a token are 0 but for those that are given.</summary>
    public static async Task<BigramModel> LoadAsync(IReadOnlyDictionary<int, (int Next, float Logit)[]> rows, float otherwise = 0, GenerationOptions? options = null)
    {
        var table = new float[Vocabulary * Vocabulary];
        Array.Fill(table, otherwise);
        foreach (var (token, next) in rows)
        {
            foreach (var (id, logit) in next)
            {
                table[(token * Vocabulary) + id] = logit;
            }
        }

        var directory = new TemporaryFolder();
        var folder = Path.Combine(directory.Path, "bigram");
        TemporaryFolder.Copy(Path.Combine(TestData.Zoo, "gpt2-no-past"), folder, file => !Path.GetFileName(file).StartsWith("expected.", StringComparison.Ordinal));
        var graph = new TinyGraph()
            .Input("input_ids", TinyGraph.Int64, "batch", "sequence").Input("attention_mask", TinyGraph.Int64, "batch", "sequence")
            .Constant("T", [Vocabulary, Vocabulary], table)
            .Node("Gather", ["T", "input_ids"], "logits", ("axis", 0))
            .Output("logits", TinyGraph.Float, "batch", "sequence", Vocabulary);
        await File.WriteAllBytesAsync(Path.Combine(folder, "model.onnx"), graph.ToBytes());
        var registry = new ModelRegistry(new LoadingOptions { Directory = directory.Path, Execution = new ExecutionOptions { Provider = ExecutionProvider.Cpu, Workers = 1 }, Generation = options ?? new GenerationOptions() });
        await registry.LoadAllAsync();
        var status = registry.Get("bigram").Status;
        Assert.True(status.State == ModelState.Ready, status.Reason);
        return new BigramModel(directory, registry, status.Model!);
    }

    /// <summary>The first choice of a request.</summary>
    public async Task<GenerationChoice> GenerateAsync(GenerateRequest request)
    {
        var run = await new GenerateTask().StartAsync(Model, request, new RequestContext());
        return (await run.CompleteAsync())[0];
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await registry.DisposeAsync();
        directory.Dispose();
    }
}
