namespace InferenceServer.Engine.Tasks;

/// <summary>One request of very many sequences enters the queue wave by wave, so that it can never be larger than the queue's door.</summary>
internal static class Waves
{
    private const int Size = 1024;

    /// <summary>Runs <paramref name="run"/> for every item, a wave at once; results in the items' order.</summary>
    public static async Task<TResult[]> RunAsync<T, TResult>(IReadOnlyCollection<T> items, Func<T, Task<TResult>> run)
    {
        var results = new List<TResult>(items.Count);
        foreach (var wave in items.Chunk(Size))
        {
            results.AddRange(await Task.WhenAll(wave.Select(run)).ConfigureAwait(false));
        }

        return [.. results];
    }
}
