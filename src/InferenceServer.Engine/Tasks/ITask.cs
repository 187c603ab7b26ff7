using System.Text.Json.Serialization;
using InferenceServer.Engine.Scheduling;

namespace InferenceServer.Engine.Tasks;

/// <summary>Something that a model can be asked to do. Tasks hold no state; <see cref="TaskCatalogue"/> has one of each.</summary>
public interface ITask
{
    /// <summary>The name on the wire: <c>fill-mask</c>, <c>embeddings</c>.</summary>
    string Name { get; }

    /// <summary>Whether the model can do it: read from its config, its tokenizer and its graph's outputs, never from its name.</summary>
    bool Supports(Model model);

    /// <summary>Why the model lacks the task and what helps, where that is known; else null.</summary>
    string? WhyNot(Model model) => null;
}

/// <summary>A task of the predictions endpoint: the same shape of call for every head.</summary>
public interface IPredictionTask : ITask
{
    /// <summary>
    /// The record that holds the task's parameters, a <see cref="PredictionRequest"/>: its properties in snake_case are the
    /// members of <c>parameters</c> on the wire, their initial values the defaults.
    /// </summary>
    Type RequestType { get; }

    /// <summary>True when an input is a question and a context (<see cref="TextInput.OfQuestion"/>) rather than a text.</summary>
    bool TakesQuestions => false;

    /// <summary>Runs the task: a result for each input, in their order.</summary>
    /// <param name="model">A model that the task supports.</param>
    /// <param name="request">A request of type <see cref="RequestType"/>.</param>
    /// <param name="context">The request's cancellation and costs.</param>
    /// <exception cref="Diagnostics.InferenceException">A parameter or an input cannot be served; or the queue refused.</exception>
    Task<IReadOnlyList<PredictionResult>> RunAsync(Model model, PredictionRequest request, RequestContext context);
}

/// <summary>What a prediction is asked for: inputs, and in the derived records the parameters of the task.</summary>
public abstract record PredictionRequest
{
    /// <summary>The inputs, at least one.</summary>
    [JsonIgnore]
    public IReadOnlyList<TextInput> Inputs { get; init; } = [];
}

/// <summary>The prediction for one input; the derived records have the members that the wire shows.</summary>
public abstract record PredictionResult;

/// <summary>A label and its score.</summary>
/// <param name="Label">Name of the label, from the config or the request.</param>
/// <param name="Score">A probability, or the raw logit where no function was applied.</param>
public sealed record LabelScore(string Label, double Score);
