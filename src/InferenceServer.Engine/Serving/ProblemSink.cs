using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Serving;

/// <summary>What becomes of a problem of a folder: serving stops at the first, an inspection goes on and collects all.</summary>
internal abstract class ProblemSink
{
    /// <summary>Stops at the first problem.</summary>
    public static ProblemSink Stopping { get; } = new StopAtFirst();

    /// <summary>Takes a step; null where it had a problem and the building goes on.</summary>
    /// <exception cref="ModelLoadException">The problem, when the building stops at it.</exception>
    public abstract T? Try<T>(Func<T?> step)
        where T : class;

    private sealed class StopAtFirst : ProblemSink
    {
        public override T? Try<T>(Func<T?> step)
            where T : class => step();
    }
}

/// <summary>Collects every problem, each once.</summary>
internal sealed class CollectedProblems : ProblemSink
{
    private readonly Lock gate = new();
    private readonly List<string> problems = [];

    /// <summary>The problems so far.</summary>
    public IReadOnlyList<string> All
    {
        get
        {
            lock (gate)
            {
                return [.. problems];
            }
        }
    }

    /// <summary>Tells a problem.</summary>
    public void Add(string problem)
    {
        lock (gate)
        {
            if (!problems.Contains(problem))
            {
                problems.Add(problem);
            }
        }
    }

    /// <inheritdoc/>
    public override T? Try<T>(Func<T?> step)
        where T : class
    {
        try
        {
            return step();
        }
        catch (ModelLoadException e)
        {
            Add(e.Message);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Add($"The folder cannot be read: {e.Message}");
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            Add($"An unexpected error ({e.GetType().Name}) keeps it from loading: {e.Message}");
        }

        return null;
    }
}
