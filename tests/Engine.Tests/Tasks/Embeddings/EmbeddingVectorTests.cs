using System.Text;
using System.Text.Json;
using InferenceServer.Engine.Tasks.Embeddings;
using Xunit;

namespace InferenceServer.Engine.Tests.Tasks.Embeddings;

public class EmbeddingVectorTests
{
    private static readonly float[] Values = [-1f, -0.5f, 0f, 0.001f, 0.5f, 1f, 2f, -3f, 0.25f];

    // (x + 1) / (2 / 255), less 128 for int8, truncated towards zero, with 32-bit floats as the reference does (1 is a little less than 255 steps).
    [Fact]
    public void Whole_numbers_are_steps_of_a_fixed_range()
    {
        Assert.Equal([0, 63, 127, 127, 191, 254, 255, 0, 159], EmbeddingVector.From(Values, EmbeddingDataType.Uint8).ToFloats());
        Assert.Equal([-128, -64, 0, 0, 63, 126, 127, -128, 31], EmbeddingVector.From(Values, EmbeddingDataType.Int8).ToFloats());
    }

    [Fact]
    public void Bits_are_packed_from_the_highest()
    {
        Assert.Equal([0b0001_1110, 0b1000_0000], EmbeddingVector.From(Values, EmbeddingDataType.Ubinary).ToFloats());
        Assert.Equal([0b0001_1110 - 128, 0], EmbeddingVector.From(Values, EmbeddingDataType.Binary).ToFloats());
    }

    [Fact]
    public void Floats_are_little_endian()
    {
        Assert.Equal("AACAPwAAAMA=", EmbeddingVector.From([1f, -2f], EmbeddingDataType.Float32).ToBase64());
        Assert.Equal("ADwAwA==", EmbeddingVector.From([1f, -2f], EmbeddingDataType.Float16).ToBase64());
        Assert.Equal([0.099975586f], EmbeddingVector.From([0.1f], EmbeddingDataType.Float16).ToFloats());
    }

    [Fact]
    public void Json_holds_the_shortest_exact_numbers()
    {
        using var stream = new MemoryStream();
        using (var writer = new Utf8JsonWriter(stream))
        {
            EmbeddingVector.From([0.1f, -1e-8f, 3f], EmbeddingDataType.Float32).WriteTo(writer);
        }

        Assert.Equal("[0.1,-1E-08,3]", Encoding.UTF8.GetString(stream.ToArray()));
    }
}
