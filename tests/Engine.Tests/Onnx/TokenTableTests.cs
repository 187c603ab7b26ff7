using System.Text.Json;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Onnx;
using Xunit;

namespace InferenceServer.Engine.Tests.Onnx;

/// <summary>The table that token ids are looked up in.</summary>
public sealed class TokenTableTests
{
    [Fact]
    public void Every_reference_graph_has_a_row_for_each_id_of_its_configuration()
    {
        var found = 0;
        foreach (var folder in Directory.GetDirectories(TestData.Zoo).Order(StringComparer.Ordinal))
        {
            var config = ModelConfig.From(JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "config.json"))).RootElement);
            foreach (var file in OnnxFiles.All(folder))
            {
                if (OnnxGraph.Read(Path.Combine(folder, file), config).Summary.TokenRows is { } rows)
                {
                    found++;
                    Assert.True(rows >= config.VocabularySize, $"{Path.GetFileName(folder)}/{file}: {rows} rows, {config.VocabularySize} ids");
                }
            }
        }

        Checks.AtLeast(50, found, "tables");
    }
}
