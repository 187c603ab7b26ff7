using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks;

namespace InferenceServer.Engine.Serving;

/// <summary>The right to use a model: it is not disposed of before every lease on it has been given back, whatever is loaded or unloaded meanwhile.</summary>
public sealed class ModelLease : IDisposable
{
    private readonly LoadedModel loaded;
    private int returned;

    internal ModelLease(LoadedModel loaded) => this.loaded = loaded;

    /// <summary>The model that the request works with from its beginning to its end.</summary>
    public Model Model => loaded.Model;

    /// <summary>Lets the request in before its body is read.</summary>
    /// <exception cref="Diagnostics.InferenceException">The queue is full, or the model is being taken out of service.</exception>
    public Permit Enter(RequestContext context) => loaded.Admission.Enter(context);

    /// <summary>Gives the lease back; once is enough.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref returned, 1) == 0)
        {
            loaded.Return();
        }
    }
}
