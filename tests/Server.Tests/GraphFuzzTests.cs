using InferenceServer.TestSupport.Fuzz;

namespace InferenceServer.Server.Tests;

/// <summary>Changed graphs in a server of their own. <c>dotnet run -c Release --project tests/Benchmarks -- fuzz graphs</c> tries many more.</summary>
public sealed class GraphFuzzTests
{
    [Fact]
    public async Task A_changed_graph_loads_or_is_refused_with_a_reason()
    {
        var fuzz = new GraphFuzz(TestData.Zoo);
        await fuzz.RunAsync(100, first: 0);
        TestContext.Current.TestOutputHelper?.WriteLine(string.Join(", ", fuzz.Outcomes));
        Assert.True(fuzz.Wrong.Count == 0, string.Join('\n', fuzz.Wrong));
        Assert.True(fuzz.Crashes.Count == 0, string.Join('\n', fuzz.Crashes));
        Assert.InRange(fuzz.Outcomes["refused"], 20, 100);
        Assert.InRange(fuzz.Outcomes["loaded, answers 200"], 5, 100);
    }
}
