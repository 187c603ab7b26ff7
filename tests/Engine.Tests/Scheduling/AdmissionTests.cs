using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Scheduling;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace InferenceServer.Engine.Tests.Scheduling;

/// <summary>Who is let in, and when those who are not should come again.</summary>
public sealed class AdmissionTests
{
    private readonly FakeTimeProvider time = new();

    [Fact]
    public void Requests_are_counted_from_their_permit_to_its_end()
    {
        var admission = new Admission(new QueueOptions { MaxWaitingRequests = 2 }, "m", time);
        var first = admission.Enter(new RequestContext());
        using var second = admission.Enter(new RequestContext());
        Assert.Equal(ErrorCode.QueueFull, Assert.Throws<InferenceException>(() => admission.Enter(new RequestContext())).Code);
        first.Dispose();
        first.Dispose(); // once is enough
        using var third = admission.Enter(new RequestContext());
        Assert.Throws<InferenceException>(() => admission.Enter(new RequestContext()));
    }

    [Fact]
    public void Bodies_that_are_still_to_come_count_by_their_size()
    {
        var admission = new Admission(new QueueOptions { MaxWaitingTokens = 1000 }, "m", time);
        admission.Admit(new RequestContext(), 1, 300);
        using var large = admission.Enter(new RequestContext { BodyBytes = 1600 }); // about 400 tokens
        var refused = Assert.Throws<InferenceException>(() => admission.Enter(new RequestContext { BodyBytes = 3600 }));
        Assert.Equal(ErrorCode.QueueFull, refused.Code);
        Assert.Contains("1000", refused.Message, StringComparison.Ordinal);
        using var small = admission.Enter(new RequestContext { BodyBytes = 100 });
    }

    [Fact]
    public void Large_bodies_that_never_come_whole_do_not_keep_others_out()
    {
        var admission = new Admission(new QueueOptions { MaxWaitingTokens = 1000 }, "m", time);
        var half = Enumerable.Range(0, 50).Select(_ => admission.Enter(new RequestContext { BodyBytes = 30_000_000 })).ToList();
        using var small = admission.Enter(new RequestContext { BodyBytes = 100 });
        half.ForEach(permit => permit.Dispose());
        using var large = admission.Enter(new RequestContext { BodyBytes = 30_000_000 }); // what it really brings is asked for later
    }

    [Fact]
    public void A_request_larger_than_the_bound_is_let_in_when_nothing_waits_and_as_a_whole()
    {
        var admission = new Admission(new QueueOptions { MaxWaitingTokens = 1000, MaxWaitingSequences = 10 }, "m", time);
        admission.Admit(new RequestContext(), 50, 5000);
        Assert.Equal((50, 5000), (admission.Sequences, admission.Tokens));
        Assert.Equal(ErrorCode.QueueFull, Assert.Throws<InferenceException>(() => admission.Admit(new RequestContext(), 1, 1)).Code);
        admission.Leave(50, 5000);
        admission.Admit(new RequestContext(), 1, 1);
    }

    [Fact]
    public void What_a_request_brings_later_is_let_in_with_what_it_brought_first()
    {
        var admission = new Admission(new QueueOptions { MaxWaitingTokens = 100 }, "m", time);
        var context = new RequestContext();
        using var permit = admission.Enter(context);
        admission.Admit(context, 1, 90);
        admission.Admit(context, 1, 90);
        Assert.Throws<InferenceException>(() => admission.Admit(new RequestContext(), 1, 90));
    }

    [Fact]
    public void Who_comes_again_when_told_finds_a_place_though_new_requests_come_all_the_time()
    {
        // 100 tokens a second are served; four times as many come, and each that is refused comes again when it was told to.
        var admission = new Admission(new QueueOptions { MaxWaitingTokens = 500 }, "m", time);
        admission.Measured(100);
        var again = new PriorityQueue<int, DateTimeOffset>();
        var (told, taken, served, number) = (0, 0, 0, 0);
        var waiting = new Queue<Permit>();
        for (var tenth = 0; tenth < 1200; tenth++)
        {
            time.Advance(TimeSpan.FromMilliseconds(100));
            if (tenth % 2 == 0 && waiting.TryDequeue(out var done))
            {
                admission.Leave(1, 20);
                done.Dispose();
                served++;
            }

            while (again.TryPeek(out var who, out var when) && when <= time.GetUtcNow())
            {
                again.Dequeue();
                told++;
                taken += Send(who, first: false) ? 1 : 0;
            }

            Send(number++, first: true);
            Send(number++, first: true);
        }

        Assert.True(told > 50, $"only {told} came again");
        Assert.True(taken >= 0.9 * told, $"{taken} of {told} were taken");
        Assert.True(served >= 0.95 * 600, $"only {served} of 600 places were used");

        bool Send(int who, bool first)
        {
            var context = new RequestContext { Fingerprint = () => (ulong)who, BodyBytes = 80 };
            try
            {
                var permit = admission.Enter(context);
                admission.Admit(context, 1, 20);
                waiting.Enqueue(permit);
                return true;
            }
            catch (InferenceException e) when (e.Code == ErrorCode.QueueFull)
            {
                if (first)
                {
                    again.Enqueue(who, time.GetUtcNow() + e.RetryAfter!.Value);
                }

                return false;
            }
        }
    }

    [Fact]
    public void Where_many_clients_send_the_same_each_one_s_place_is_its_own()
    {
        var admission = new Admission(new QueueOptions { MaxWaitingTokens = 100 }, "m", time);
        admission.Measured(100);
        using var first = admission.Enter(Same("a"));
        admission.Admit(new RequestContext(), 1, 80);
        var waits = new[] { "b", "c" }.Select(client => Assert.Throws<InferenceException>(() => admission.Enter(Same(client))).RetryAfter!.Value).ToList();
        time.Advance(waits.Max());
        admission.Leave(1, 80);

        Assert.Throws<InferenceException>(() => admission.Enter(Same("d"))); // the places are those of b and c
        using var b = admission.Enter(Same("b"));

        static RequestContext Same(object client) => new() { Client = client, Fingerprint = () => 7, BodyBytes = 160 };
    }

    [Fact]
    public void A_request_that_comes_again_on_another_connection_is_recognised()
    {
        var admission = new Admission(new QueueOptions { MaxWaitingTokens = 100 }, "m", time);
        admission.Measured(100);
        admission.Admit(new RequestContext(), 1, 80);
        var wait = Assert.Throws<InferenceException>(() => admission.Enter(Of("a", 1))).RetryAfter!.Value;
        time.Advance(wait);
        Assert.Throws<InferenceException>(() => admission.Enter(Of("b", 2)));
        admission.Leave(1, 20);
        using var again = admission.Enter(Of("c", 1));

        static RequestContext Of(object client, ulong what) => new() { Client = client, Fingerprint = () => what, BodyBytes = 160 };
    }

    [Fact]
    public void Places_that_nobody_takes_are_given_to_others_and_waits_stay_short()
    {
        // As before, but nobody comes again.
        var admission = new Admission(new QueueOptions { MaxWaitingTokens = 500 }, "m", time);
        admission.Measured(100);
        var waiting = new Queue<Permit>();
        var served = 0;
        var longest = TimeSpan.Zero;
        for (var tenth = 0; tenth < 3000; tenth++)
        {
            time.Advance(TimeSpan.FromMilliseconds(100));
            if (tenth % 2 == 0 && waiting.TryDequeue(out var done))
            {
                admission.Leave(1, 20);
                done.Dispose();
                served++;
            }

            for (var i = 0; i < 2; i++)
            {
                var (number, context) = ((ulong)((2 * tenth) + i), (RequestContext?)null);
                context = new RequestContext { Fingerprint = () => number, BodyBytes = 80 };
                try
                {
                    var permit = admission.Enter(context);
                    admission.Admit(context, 1, 20);
                    waiting.Enqueue(permit);
                }
                catch (InferenceException e) when (e.Code == ErrorCode.QueueFull && tenth > 1500)
                {
                    longest = e.RetryAfter!.Value > longest ? e.RetryAfter.Value : longest;
                }
                catch (InferenceException e) when (e.Code == ErrorCode.QueueFull)
                {
                    // The share of those who come is still being learnt.
                }
            }
        }

        Assert.True(served >= 0.95 * 1500, $"only {served} of 1500 places were used");
        Assert.True(longest < TimeSpan.FromSeconds(120), $"{longest} to wait though nobody comes");
    }

    [Fact]
    public void A_model_that_goes_takes_nobody_in()
    {
        var admission = new Admission(new QueueOptions(), "m", time);
        admission.Close();
        Assert.Equal(ErrorCode.Unavailable, Assert.Throws<InferenceException>(() => admission.Enter(new RequestContext())).Code);
        Assert.Equal(ErrorCode.Unavailable, Assert.Throws<InferenceException>(() => admission.Admit(new RequestContext(), 1, 1)).Code);
    }
}
