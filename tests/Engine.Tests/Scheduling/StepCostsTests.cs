using InferenceServer.Engine.Scheduling;
using Xunit;

namespace InferenceServer.Engine.Tests.Scheduling;

public sealed class StepCostsTests
{
    private const int Threads = 2;
    private const int Steps = 4096;

    [Theory]
    [InlineData(8, 5, Threads)]
    [InlineData(5, 8, 1)]
    [InlineData(5, 4.9, 1)] // not worth a second core
    public void The_faster_way_is_taken_but_for_now_and_then(double one, double several, int expected)
    {
        var costs = new StepCosts();
        Assert.Equal(expected, MostOften(costs, 1, threads => threads == 1 ? one : several));
    }

    [Fact]
    public void A_slow_moment_does_not_decide_for_good()
    {
        var costs = new StepCosts();
        var step = 0;
        MostOften(costs, 1, threads => ++step < 40 && threads > 1 ? 50 : threads > 1 ? 5 : 8);
        Assert.Equal(Threads, MostOften(costs, 1, threads => threads > 1 ? 5 : 8));
    }

    [Fact]
    public void Sizes_are_apart()
    {
        var costs = new StepCosts();
        Assert.Equal(1, MostOften(costs, 1, threads => threads == 1 ? 1 : 2));
        Assert.Equal(Threads, MostOften(costs, 512, threads => threads == 1 ? 1000 : 600));
        Assert.Equal(1, costs.Threads(1, 1));
        Assert.Null(costs.Milliseconds(4, 1));
    }

    private static int MostOften(StepCosts costs, int tokens, Func<int, double> milliseconds)
    {
        var several = 0;
        for (var i = 0; i < Steps; i++)
        {
            var threads = costs.Threads(tokens, Threads);
            several += threads > 1 ? 1 : 0;
            costs.Measured(tokens, threads, milliseconds(threads));
        }

        return several > 0.9 * Steps ? Threads : several < 0.1 * Steps ? 1 : 0;
    }
}
