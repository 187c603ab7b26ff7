using System.Diagnostics;
using System.Text;
using Google.Protobuf;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Onnx;
using InferenceServer.Engine.Onnx.Proto;
using InferenceServer.TestSupport.Fuzz;
using Xunit;

namespace InferenceServer.Engine.Tests.Onnx;

/// <summary>Files that are damaged, cut short or no ONNX at all: a reason that names the file, never another exception.</summary>
public sealed class DamagedGraphTests : IDisposable
{
    private static readonly ModelConfig Config = ModelConfig.From(System.Text.Json.JsonDocument.Parse("""{"num_attention_heads": 4}""").RootElement);
    private readonly string folder = Directory.CreateTempSubdirectory("graphs-").FullName;

    public void Dispose() => Directory.Delete(folder, true);

    [Theory]
    [InlineData("", "empty")]
    [InlineData("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull")]
    [InlineData("<!DOCTYPE html><html></html>", "damaged")]
    [InlineData("\u0008\u0007", "holds no graph")]
    public void Files_that_are_no_model_are_named_with_the_remedy(string content, string reason)
    {
        var file = Write("model.onnx", Encoding.UTF8.GetBytes(content));

        var e = Assert.Throws<ModelLoadException>(() => OnnxGraph.Read(file, Config));

        Assert.Contains("model.onnx", e.Message, StringComparison.Ordinal);
        Assert.Contains(reason, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_missing_file_is_a_reason() =>
        Assert.Throws<ModelLoadException>(() => OnnxGraph.Read(Path.Combine(folder, "absent.onnx"), Config));

    [Fact]
    public void Every_cut_of_a_file_is_refused()
    {
        var whole = File.ReadAllBytes(Path.Combine(TestData.Zoo, "bert-classify", "model.onnx"));
        var step = Math.Max(1, whole.Length / 400);
        var cuts = 0;
        for (var length = 1; length < whole.Length - step; length += step)
        {
            cuts++;
            var file = Write("model.onnx", whole[..length]);
            Assert.Contains("model.onnx", Assert.Throws<ModelLoadException>(() => OnnxGraph.Read(file, Config)).Message, StringComparison.Ordinal);
        }

        Checks.AtLeast(390, cuts, "cuts");
    }

    [Theory]
    [InlineData("bert-embed-sdpa", "model.onnx")]
    [InlineData("bert-fused-ort", "model.onnx")]
    [InlineData("llama-genai-gqa", "model.onnx")]
    [InlineData("deberta-v2-classify-old", "model.onnx")]
    [InlineData("gpt2-merged-old", "decoder_model_merged.onnx")]
    public void Changed_bytes_are_read_or_refused(string model, string name)
    {
        var whole = File.ReadAllBytes(Path.Combine(TestData.Zoo, model, name));
        foreach (var data in Directory.GetFiles(Path.Combine(TestData.Zoo, model), "*.data"))
        {
            File.Copy(data, Path.Combine(folder, Path.GetFileName(data)));
        }

        var random = new Random(20260101);
        var watch = Stopwatch.StartNew();
        int read = 0, refused = 0;
        for (var round = 0; round < 400; round++)
        {
            var bytes = (byte[])whole.Clone();
            for (var change = random.Next(1, 24); change > 0; change--)
            {
                // Structure is denser where the nodes are: half of the changes go to the first tenth.
                var at = random.Next(2) == 0 ? random.Next(bytes.Length) : random.Next(Math.Max(1, bytes.Length / 10));
                bytes[at] = random.Next(4) switch { 0 => (byte)(bytes[at] ^ (1 << random.Next(8))), 1 => 0xFF, 2 => 0, _ => (byte)random.Next(256) };
            }

            var file = Write("model.onnx", bytes);
            try
            {
                var graph = OnnxGraph.Read(file, Config);
                Assert.NotNull(graph.Summary.Inputs);
                Assert.NotEmpty(graph.ReadModel());
                read++;
            }
            catch (ModelLoadException e)
            {
                Assert.NotEmpty(e.Message);
                refused++;
            }
        }

        Assert.True(read > 10 && refused > 10, $"{read} read, {refused} refused: the changes should do both");
        Assert.True(watch.Elapsed < TimeSpan.FromMinutes(1), $"took {watch.Elapsed}");
    }

    [Theory]
    [InlineData("bert-classify")]
    [InlineData("bert-embed-sdpa")]
    [InlineData("bert-fused-ort")]
    [InlineData("gpt2-with-past")]
    [InlineData("deberta-v2-classify-old")]
    public void Changed_fields_are_read_or_refused(string model)
    {
        var whole = File.ReadAllBytes(Path.Combine(TestData.Zoo, model, "model.onnx"));
        int read = 0, refused = 0;
        for (var number = 0; number < 400; number++)
        {
            var file = Write("model.onnx", GraphMutation.Of(whole, number));
            try
            {
                Assert.NotEmpty(OnnxGraph.Read(file, Config).ReadModel());
                read++;
            }
            catch (ModelLoadException e)
            {
                Assert.NotEmpty(e.Message);
                refused++;
            }
            catch (Exception e)
            {
                Assert.Fail($"number {number}: {e}");
            }
        }

        Checks.AtLeast(100, read, "files that are read");
        Checks.AtLeast(20, refused, "files that are refused");
    }

    [Fact]
    public void Graphs_made_to_explode_are_read_in_bounded_time()
    {
        // A comparison over a long chain of x + x: each step doubles the number of ways back.
        var graph = new GraphProto();
        Add("Range", "x0", "a", "b", "c");
        for (var i = 0; i < 5000; i++)
        {
            Add("Add", $"x{i + 1}", $"x{i}", $"x{i}");
        }

        Add("Less", "less", "x5000", "x4999");
        Add("Where", "s", "less", "q", "q");
        Add("Softmax", "p0", "s");
        graph.Node[^1].Attribute.Add(AttributeProto.Of("axis", -1));
        for (var i = 0; i < 5000; i++)
        {
            Add("Cast", $"p{i + 1}", $"p{i}");
        }

        Add("MatMul", "y", "p5", "v");
        var file = Write("model.onnx", new ModelProto { Graph = graph }.ToByteArray());
        var watch = Stopwatch.StartNew();

        Assert.NotNull(OnnxGraph.Read(file, Config));

        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(10), $"took {watch.Elapsed}");

        void Add(string op, string result, params string[] inputs) => graph.Node.Add(new NodeProto { OpType = op, Input = { inputs }, Output = { result } });
    }

    [Fact]
    public void Graphs_nested_too_deep_are_refused()
    {
        // Put together as bytes: a message of this depth is more than the library's recursion can write.
        var graph = Array.Empty<byte>();
        for (var i = 0; i < 5000; i++)
        {
            var branch = Field(new AttributeProto { Name = "then_branch" }, AttributeProto.GFieldNumber, graph);
            graph = Field(new GraphProto(), GraphProto.NodeFieldNumber, Field(new NodeProto { OpType = "If", Input = { "c" }, Output = { "y" } }, NodeProto.AttributeFieldNumber, branch));
        }

        var file = Write("model.onnx", Field(new ModelProto(), ModelProto.GraphFieldNumber, graph));

        Assert.Contains("deep", Assert.Throws<ModelLoadException>(() => OnnxGraph.Read(file, Config)).Message, StringComparison.Ordinal);

        static byte[] Field(IMessage message, int field, byte[] value) => [.. message.ToByteArray(), .. GraphEdit.Header(field, value.Length), .. value];
    }

    [Theory]
    [InlineData("../secret.bin", "outside")]
    [InlineData("/etc/hostname", "outside")]
    [InlineData("weights.bin", "missing")]
    public void External_data_must_lie_in_the_folder(string location, string reason)
    {
        var tensor = new TensorProto
        {
            Name = "w",
            Dims = { 4 },
            DataType = TensorProto.Types.DataType.Float,
            ExternalData = { new StringStringEntryProto { Key = "location", Value = location } },
            DataLocation = TensorProto.Types.DataLocation.External,
        };
        var graph = new GraphProto { Node = { new NodeProto { OpType = "Identity", Input = { "w" }, Output = { "y" } } }, Initializer = { tensor } };
        var file = Write("model.onnx", new ModelProto { Graph = graph }.ToByteArray());

        var e = Assert.Throws<ModelLoadException>(() => OnnxGraph.Read(file, Config));

        Assert.Contains(reason, e.Message, StringComparison.Ordinal);
        Assert.Contains(location, e.Message, StringComparison.Ordinal);
    }

    private string Write(string name, byte[] bytes)
    {
        var path = Path.Combine(folder, name);
        File.WriteAllBytes(path, bytes);
        return path;
    }
}
