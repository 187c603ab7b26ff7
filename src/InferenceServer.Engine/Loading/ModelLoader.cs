using Microsoft.Extensions.Logging;

namespace InferenceServer.Engine.Loading;

/// <summary>Loads every folder of the models directory into a <see cref="ModelCatalog"/>.</summary>
public sealed class ModelLoader : IAsyncDisposable
{
    /// <summary>Resolves the execution provider; nothing is loaded yet.</summary>
    /// <exception cref="Sessions.ExecutionProviderException">The provider that was asked for cannot be used; one line that names cause and remedy.</exception>
    public ModelLoader(LoadingOptions options, ModelCatalog catalog, ILoggerFactory? loggers = null, TimeProvider? time = null)
    {
        Catalog = catalog;
        _ = (options, loggers, time);
    }

    /// <summary>The catalogue that is filled.</summary>
    public ModelCatalog Catalog { get; }

    /// <summary>Loads every folder, several at once, and returns when each is ready or failed. Throws only when cancelled; a failure is the entry's reason.</summary>
    public Task LoadAsync(CancellationToken cancellation = default) => throw new NotImplementedException();

    /// <summary>Lets what runs end, answers what waits with <see cref="Diagnostics.ErrorKind.Unavailable"/>, releases the graphs.</summary>
    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
