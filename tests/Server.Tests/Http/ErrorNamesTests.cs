using InferenceServer.Configuration;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tasks.Embeddings;
using InferenceServer.Http.Middleware;
using InferenceServer.Http.Native;

namespace InferenceServer.Server.Tests.Http;

/// <summary>What the engine's errors name is written with the names of the dialect, and with the settings of this host.</summary>
public sealed class ErrorNamesTests
{
    private static readonly Argument Prompt = Argument.Of(nameof(EmbeddingsRequest.PromptName));

    private static readonly ErrorNames Other = new(argument => argument.Root == nameof(EmbeddingsRequest.Inputs) ? "input" + ErrorNames.SnakeCase.Of(argument)["inputs".Length..] : ErrorNames.SnakeCase.Of(argument));

    [Fact]
    public void Arguments_have_the_names_of_the_dialect()
    {
        var error = InferenceException.Unprocessable(Argument.Of("Inputs", 3), $"{Argument.Of("Inputs", 3)} has no place beside {Prompt} and {EmbeddingDataType.Float32}; {1.5} is not it.");
        Assert.Equal("inputs[3] has no place beside prompt_name and float32; 1.5 is not it.", ErrorNames.SnakeCase.Detail(error));
        Assert.Equal("input[3] has no place beside prompt_name and float32; 1.5 is not it.", Other.Detail(error));
        Assert.Equal("Inputs[3] has no place beside PromptName and Float32; 1.5 is not it.", error.Message);
        Assert.Equal(("inputs[3]", "input[3]"), (ErrorNames.SnakeCase.Of(error.Argument!), Other.Of(error.Argument!)));
        Assert.Equal("inputs[0][2].context", ErrorNames.SnakeCase.Of(Argument.Of("Inputs")[0][2].Property("Context")));
    }

    [Fact]
    public void What_a_client_sent_is_no_name()
    {
        const string sent = "{Inputs[0]} PromptName {0}";
        ErrorText inner = $"{Prompt} is '{sent}'";
        Assert.Equal($"It says: prompt_name is '{sent}'.", ErrorNames.SnakeCase.Detail(InferenceException.Unprocessable(Prompt, $"It says: {inner}.")));
    }

    [Theory]
    [InlineData(nameof(RequestContext.MaxTokens), "Limits:MaxTokens")]
    [InlineData(nameof(EmbeddingsRequest.MaxAnswerBytes), "Limits:MaxAnswerBytes")]
    [InlineData(nameof(QueueOptions.MaxSequenceOutputBytes), "Queue:MaxSequenceOutputBytes")]
    public void A_limit_is_told_with_its_setting(string limit, string setting)
    {
        Assert.Equal(setting, SettingNames.Of(limit));
        Assert.EndsWith($"(setting {setting})", ErrorNames.SnakeCase.Detail(new InferenceException(ErrorCode.TooLarge, $"Too much.") { Limit = limit }), StringComparison.Ordinal);
    }

    [Fact]
    public void Several_wrong_arguments_are_told_with_their_paths_up_to_twenty()
    {
        ArgumentError Wrong(int i) => new(Argument.Of("Inputs", i), $"{Argument.Of("Inputs", i)} is empty.");
        var two = InferenceException.Unprocessable([Wrong(1), Wrong(4)]);
        Assert.Equal("2 fields cannot be served: inputs[1], inputs[4]. inputs[1] is empty.", ErrorNames.SnakeCase.Detail(two));
        Assert.Empty(InferenceException.Unprocessable([Wrong(1)]).Errors);
        Assert.Equal(InferenceException.MaxErrors, InferenceException.Unprocessable([.. Enumerable.Range(0, 30).Select(Wrong)]).Errors.Count);
    }

    [Fact]
    public void Every_task_has_a_name_of_its_own()
    {
        var names = TaskCatalogue.All.Select(TaskNames.Of).ToList();
        Assert.Equal(names.Count, names.Distinct().Count());
        Assert.All(names, name => Assert.Matches("^[a-z-]+$", name));
    }
}
