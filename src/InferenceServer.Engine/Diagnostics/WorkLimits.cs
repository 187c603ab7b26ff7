namespace InferenceServer.Engine.Diagnostics;

/// <summary>
/// What reading the texts of one request may cost: until when, and how many steps of regular expressions, so many at least and more for every character.
/// Used by one thread at a time.
/// </summary>
/// <param name="cancellation">Fires when the work is of no use any more.</param>
public sealed class WorkLimits(CancellationToken cancellation = default)
{
    private const long StepsAtLeast = 50_000_000;
    private const long StepsPerCharacter = 200;

    private long steps = StepsAtLeast;

    /// <summary>Fires when the work is of no use any more.</summary>
    public CancellationToken Cancellation { get; } = cancellation;

    /// <summary>Most tokens that the texts may become together; a text that alone becomes more is given up as soon as it does.</summary>
    public long MaxTokens { get; internal set; } = long.MaxValue;

    /// <summary>Refuses more tokens than <see cref="MaxTokens"/>.</summary>
    /// <exception cref="InferenceException"><paramref name="tokens"/> are more.</exception>
    internal void RequireTokens(long tokens)
    {
        if (tokens > MaxTokens)
        {
            throw new InferenceException(ErrorCode.Unprocessable, $"The inputs have more than {MaxTokens} tokens together, the most of one request. Send several requests.", Argument.Of("Inputs")) { Limit = nameof(MaxTokens) };
        }
    }

    /// <summary>What a text of so many characters may cost by itself.</summary>
    internal static WorkLimits Of(int characters)
    {
        var limits = new WorkLimits();
        limits.Allow(characters);
        return limits;
    }

    /// <summary>Allows the steps of a text of so many characters.</summary>
    internal void Allow(int characters) => steps += StepsPerCharacter * (long)characters;

    /// <summary>Takes up to <paramref name="wanted"/> steps; 0 when none are left.</summary>
    /// <exception cref="OperationCanceledException">The work is of no use any more.</exception>
    internal int Take(int wanted)
    {
        Cancellation.ThrowIfCancellationRequested();
        var taken = (int)Math.Clamp(steps, 0, wanted);
        steps -= taken;
        return taken;
    }

    /// <summary>Gives back steps that were taken and not used.</summary>
    internal void GiveBack(int unused) => steps += unused;
}
