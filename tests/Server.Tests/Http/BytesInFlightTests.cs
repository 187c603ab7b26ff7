using InferenceServer.Engine.Diagnostics;
using InferenceServer.Http.Middleware;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Time.Testing;

namespace InferenceServer.Server.Tests.Http;

/// <summary>The budget of bytes of bodies and answers.</summary>
public sealed class BytesInFlightTests
{
    private const long Limit = 1 << 20;
    private readonly FakeTimeProvider time = new();
    private int givenBack;

    [Fact]
    public void What_others_hold_bounds_a_request_and_short_ones_are_always_taken()
    {
        var budget = new BytesInFlight(Limit, time, () => givenBack++);
        using var first = budget.Of(new DefaultHttpContext());
        first.Body(700_000);
        first.Body(900_000); // as it arrives: the whole so far
        Assert.Equal(900_000 - BytesInFlight.Free, budget.Held);

        using var second = budget.Of(new DefaultHttpContext());
        second.Body(BytesInFlight.Free);
        Assert.Equal(ErrorCode.QueueFull, Assert.Throws<RequestException>(() => second.Body(400_000)).Code);
        Assert.Contains("Limits:MaxBytesInFlight", Assert.Throws<RequestException>(() => second.Answer(Limit)).Message, StringComparison.Ordinal);
        Assert.Equal(900_000 - BytesInFlight.Free, budget.Held);

        first.Dispose();
        first.Dispose();
        Assert.Equal(0, budget.Held);
    }

    [Fact]
    public void Alone_a_request_is_taken_whatever_its_size()
    {
        var budget = new BytesInFlight(Limit, time, () => givenBack++);
        using var alone = budget.Of(new DefaultHttpContext());
        alone.Body(5 * Limit);
        alone.Answer(7 * Limit);
        Assert.Equal((12 * Limit) - BytesInFlight.Free, budget.Held);
    }

    [Fact]
    public void Memory_is_given_back_once_nothing_has_been_held_for_a_moment()
    {
        var budget = new BytesInFlight(long.MaxValue, time, () => givenBack++);
        Hold(budget, BytesInFlight.Much / 2);
        time.Advance(2 * BytesInFlight.Quiet);
        Assert.Equal(0, givenBack); // not worth it

        Hold(budget, 2 * BytesInFlight.Much);
        time.Advance(BytesInFlight.Quiet / 2);
        var next = budget.Of(new DefaultHttpContext());
        next.Body(2 * BytesInFlight.Free);
        time.Advance(BytesInFlight.Quiet);
        Assert.Equal(0, givenBack); // somebody is there
        next.Dispose();
        time.Advance(BytesInFlight.Quiet);
        Assert.Equal(1, givenBack);

        time.Advance(10 * BytesInFlight.Quiet);
        Assert.Equal(1, givenBack);
    }

    [Fact]
    public async Task A_context_holds_once_and_until_its_answer_is_complete()
    {
        var budget = new BytesInFlight(Limit, time, () => givenBack++);
        var response = new Response();
        var context = new DefaultHttpContext();
        context.Features.Set<IHttpResponseFeature>(response);
        Assert.Same(budget.Of(context), budget.Of(context));
        budget.Of(context).Body(500_000);
        await response.CompleteAsync();
        Assert.Equal(0, budget.Held);
    }

    private static void Hold(BytesInFlight budget, long bytes)
    {
        using var request = budget.Of(new DefaultHttpContext());
        request.Body(bytes + BytesInFlight.Free);
    }

    private sealed class Response : HttpResponseFeature
    {
        private readonly List<(Func<object, Task> Callback, object State)> completed = [];

        public override void OnCompleted(Func<object, Task> callback, object state) => completed.Add((callback, state));

        public async Task CompleteAsync()
        {
            foreach (var (callback, state) in completed)
            {
                await callback(state);
            }
        }
    }
}
