using System.Globalization;
using System.Text.Json;

namespace InferenceServer.Engine.Scheduling;

/// <summary>Measured costs that are kept between starts, one small file a graph and thread count; nothing is kept without a folder.</summary>
/// <param name="directory">The folder, or null.</param>
/// <param name="failed">Told once when the folder cannot be written.</param>
internal sealed class CostStore(string? directory, Action<Exception> failed)
{
    private int told;

    /// <summary>What was kept, or null.</summary>
    public CostModel? Find(string key, int threads)
    {
        try
        {
            return directory is not null && File.Exists(PathOf(key, threads)) && JsonSerializer.Deserialize<CostModel>(File.ReadAllText(PathOf(key, threads))) is { B: > 0, A: >= 0, C: >= 0 } cost ? cost : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            return null; // it is measured again
        }
    }

    /// <summary>Keeps what was measured.</summary>
    public void Keep(string key, int threads, CostModel cost)
    {
        if (directory is null)
        {
            return;
        }

        try
        {
            Directory.CreateDirectory(directory);
            var temporary = Path.Combine(directory, Path.GetRandomFileName());
            File.WriteAllText(temporary, JsonSerializer.Serialize(cost));
            File.Move(temporary, PathOf(key, threads), overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            if (Interlocked.Exchange(ref told, 1) == 0)
            {
                failed(e);
            }
        }
    }

    private string PathOf(string key, int threads) => Path.Combine(directory!, string.Create(CultureInfo.InvariantCulture, $"{key}-{threads}.cost.json"));
}
