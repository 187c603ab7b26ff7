using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Tasks.Generate;

/// <summary>A conversation as the text that a model goes on from.</summary>
internal static class Conversation
{
    /// <summary>Renders the messages by the model's chat template.</summary>
    /// <exception cref="InferenceException">The model has no template, or it refuses the messages.</exception>
    public static string Render(Model model, GenerateRequest request)
    {
        var argument = Argument.Of(nameof(request.Messages));
        throw InferenceException.Unprocessable(argument, $"The model {model.Manifest.Id} has no chat template, so {argument} cannot be rendered. Send {Argument.Of(nameof(request.Prompt))} instead.");
    }
}
