using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Tasks;

/// <summary>A prediction of a model's head: every one has inputs and gives a result for each.</summary>
public interface IPredictionTask : ITask
{
    /// <summary>The record of the task's requests, a <see cref="PredictionRequest"/>; the initial values of its properties are the defaults.</summary>
    Type RequestType { get; }

    /// <summary>Runs the task: a result for each input, in their order.</summary>
    /// <param name="model">A model that the task supports.</param>
    /// <param name="request">A request of type <see cref="RequestType"/>.</param>
    /// <param name="context">The request's cancellation and costs.</param>
    /// <exception cref="Diagnostics.InferenceException">A parameter or an input cannot be served; or the queue refused.</exception>
    Task<IReadOnlyList<PredictionResult>> RunAsync(Model model, PredictionRequest request, RequestContext context);
}

/// <summary>A prediction with its own request and result.</summary>
/// <typeparam name="TRequest">The inputs and the task's own parameters.</typeparam>
/// <typeparam name="TResult">The prediction for one input.</typeparam>
public abstract class PredictionTask<TRequest, TResult> : IPredictionTask, ITask<TRequest, IReadOnlyList<TResult>>
    where TRequest : PredictionRequest
    where TResult : PredictionResult
{
    /// <inheritdoc/>
    public Type RequestType => typeof(TRequest);

    /// <inheritdoc/>
    public abstract bool Supports(Model model);

    /// <inheritdoc/>
    public virtual string? WhyNot(Model model) => model.Capabilities.LostHead;

    /// <summary>Runs the task: a result for each input, in their order.</summary>
    /// <inheritdoc/>
    public abstract Task<IReadOnlyList<TResult>> RunAsync(Model model, TRequest request, RequestContext context);

    /// <inheritdoc/>
    async Task<IReadOnlyList<PredictionResult>> IPredictionTask.RunAsync(Model model, PredictionRequest request, RequestContext context) =>
        await RunAsync(model, (TRequest)request, context).ConfigureAwait(false);
}

/// <summary>What a prediction is asked for: inputs, and in the derived records the parameters of the task.</summary>
public abstract record PredictionRequest
{
    /// <summary>The inputs, at least one.</summary>
    public IReadOnlyList<TextInput> Inputs { get; init; } = [];

    /// <summary>Cut inputs that are too long, of a pair the longer text first; else they are errors.</summary>
    public bool Truncate { get; init; }

    /// <summary>The side at which tokens are cut off; null: as the tokenizer's files say.</summary>
    public Side? TruncationDirection { get; init; }
}

/// <summary>The prediction for one input; the derived records have its members.</summary>
public abstract record PredictionResult
{
    /// <summary>True when something of the input was cut off; else null.</summary>
    public bool? Truncated { get; init; }
}

/// <summary>A label and its score.</summary>
/// <param name="Label">Name of the label, from the config or the request.</param>
/// <param name="Score">A probability, or the raw logit where no function was applied.</param>
public sealed record LabelScore(string Label, double Score);
