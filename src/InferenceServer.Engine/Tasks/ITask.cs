using InferenceServer.Engine.Scheduling;

namespace InferenceServer.Engine.Tasks;

/// <summary>Something that a model can be asked to do. Tasks hold no state; <see cref="TaskCatalogue"/> has one of each. A dialect gives them their names.</summary>
public interface ITask
{
    /// <summary>Whether the model can do it: read from its config, its tokenizer and its graph's outputs, never from its name.</summary>
    bool Supports(Model model);

    /// <summary>Why the model lacks the task and what helps, where that is known; else null.</summary>
    string? WhyNot(Model model) => null;
}

/// <summary>A task with its request and its result.</summary>
/// <typeparam name="TRequest">What is asked: a record whose properties are the arguments that errors name.</typeparam>
/// <typeparam name="TResult">What is answered.</typeparam>
public interface ITask<in TRequest, TResult> : ITask
{
    /// <summary>Runs the task.</summary>
    /// <param name="model">A model that the task supports.</param>
    /// <param name="request">What is asked.</param>
    /// <param name="context">The request's cancellation and costs.</param>
    /// <exception cref="Diagnostics.InferenceException">An argument cannot be served; or the queue refused.</exception>
    Task<TResult> RunAsync(Model model, TRequest request, RequestContext context);
}
