using InferenceServer.Engine.Batching;
using InferenceServer.Engine.Tasks;

namespace InferenceServer.Http.Native;

/// <summary>Lets requests in before their bodies are read and their texts tokenised, so that a refusal costs next to nothing.</summary>
internal interface IAdmission
{
    /// <summary>Lets a request in. The permit is given back when the answer has ended.</summary>
    /// <exception cref="Engine.Diagnostics.InferenceException">Too many requests are in already; it says when to come back.</exception>
    IDisposable Enter(Model model, RequestContext context);
}
