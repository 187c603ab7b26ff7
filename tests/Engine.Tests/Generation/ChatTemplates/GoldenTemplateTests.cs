using System.Text.Json;
using InferenceServer.Engine.Generation.ChatTemplates;
using InferenceServer.Engine.Tokenization;
using Xunit;

namespace InferenceServer.Engine.Tests.Generation.ChatTemplates;

/// <summary>Templates of well-known models over conversations of every kind, against what transformers renders.</summary>
public sealed class GoldenTemplateTests
{
    private const int LeastCases = 300;

    [Fact]
    public void Every_rendering_is_the_reference_s()
    {
        var file = Path.Combine(TestData.Goldens, "chat-templates", "cases.json");
        using var goldens = JsonDocument.Parse(File.ReadAllBytes(file));
        var templates = goldens.RootElement.GetProperty("templates").EnumerateObject().ToDictionary(t => t.Name, t => (Template: ChatTemplate.Parse(t.Value.GetProperty("chat_template").GetString()!), t.Value));
        var tokenizer = Tokenizer.Load(Path.Combine(TestData.Goldens, "tokenizers", "smollm2"));
        var wrong = new List<string>();
        var (checks, ids) = (0, 0);
        foreach (var golden in goldens.RootElement.GetProperty("cases").EnumerateArray())
        {
            var (template, own) = templates[golden.GetProperty("template").GetString()!];
            var variables = own.EnumerateObject().Where(member => member.Name != "chat_template").ToDictionary(member => member.Name, member => member.Value);
            if (golden.TryGetProperty("tools", out var tools))
            {
                variables["tools"] = tools;
            }

            if (golden.TryGetProperty("custom", out var custom))
            {
                variables["custom"] = custom;
            }

            string? text = null;
            string? error = null;
            try
            {
                text = template.Render(golden.GetProperty("messages"), golden.GetProperty("add_generation_prompt").GetBoolean(), variables, TestContext.Current.CancellationToken);
            }
            catch (ChatTemplateException e)
            {
                error = e.Message;
            }

            checks++;
            var expected = golden.TryGetProperty("text", out var t) ? t.GetString() : null;
            var refused = golden.TryGetProperty("error", out var e2) ? e2.GetString() : null;
            if (text != expected || (refused is not null && error != refused))
            {
                wrong.Add($"{golden.GetProperty("template")} {golden.GetProperty("conversation")}: {JsonSerializer.Serialize(text)} ({error}) instead of {JsonSerializer.Serialize(expected)} ({refused})");
            }

            if (text is not null && golden.TryGetProperty("ids", out var reference))
            {
                ids++;
                Assert.Equal(reference.EnumerateArray().Select(id => id.GetInt32()), tokenizer.Encode(text, addSpecialTokens: false).Ids);
            }
        }

        Assert.True(wrong.Count == 0, $"{wrong.Count} of {checks}:\n{string.Join('\n', wrong.Take(20))}");
        Assert.InRange(checks, LeastCases, int.MaxValue);
        Assert.InRange(ids, 20, int.MaxValue);
    }
}
