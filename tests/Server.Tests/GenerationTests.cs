using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace InferenceServer.Server.Tests;

/// <summary>Generated text over HTTP: shapes, streams, conversations, what comes late and who goes early.</summary>
[Collection(ServerCollection.Name)]
public sealed class GenerationTests(DemoServer demo, ZooServer zoo)
{
    private const string Gpt = "/api/models/demo-gpt/generations";
    private const string Bank = """[{"role": "user", "content": "Where is the bank?"}]""";

    [Fact]
    public async Task The_answer_has_choices_usage_and_timings()
    {
        var answer = await demo.Client.PostAsync(Gpt, """{"prompt": "The animal did not cross the street because", "temperature": 0}""");
        var body = answer.Ok;
        Assert.Equal("choices model timings usage", body.Names());
        Assert.Equal("finish_reason index text token_ids", body["choices"]![0]!.Names());
        Assert.Equal(" it was too wide.", (string)body["choices"]![0]!["text"]!);
        Assert.Equal("stop", (string)body["choices"]![0]!["finish_reason"]!);
        Assert.Equal("[477,610,1192,2607,14,0]", body["choices"]![0]!["token_ids"]!.ToJsonString());
        Assert.Equal("""{"tokens":14,"prompt_tokens":8,"completion_tokens":6}""", body["usage"]!.ToJsonString());
        Assert.Equal("decode_ms ms_per_token prefill_ms queue_ms", body["timings"]!.Names());

        var more = (await demo.Client.PostAsync(Gpt, """{"prompt": "The cat", "temperature": 1, "seed": 3, "n": 3, "max_new_tokens": 4, "logprobs": 2, "echo": true}""")).Ok["choices"]!.AsArray();
        Assert.Equal([0, 1, 2], more.Select(choice => (int)choice!["index"]!));
        Assert.All(more, choice => Assert.StartsWith("The cat", (string)choice!["text"]!, StringComparison.Ordinal));
        Assert.All(more, choice => Assert.Equal(choice!["token_ids"]!.AsArray().Count, choice["logprobs"]!.AsArray().Count));
        Assert.Equal("logprob token token_id top", more[0]!["logprobs"]![0]!.Names());
        Assert.Equal(2, more[0]!["logprobs"]![0]!["top"]!.AsArray().Count);
    }

    [Fact]
    public async Task An_encoder_decoder_translates_with_beams_and_scores()
    {
        var choices = (await demo.Client.PostAsync("/api/models/demo-translator/generations", """{"prompt": "The cat sleeps.", "num_beams": 4, "n": 2}""")).Ok["choices"]!.AsArray();
        Assert.Equal(2, choices.Count);
        Assert.Equal("finish_reason index score text token_ids", choices[0]!.Names());
        Assert.True((double)choices[0]!["score"]! >= (double)choices[1]!["score"]!);
    }

    [Theory]
    [InlineData("""{"prompt": "The animal did not cross the street because", "temperature": 0}""")]
    [InlineData("""{"prompt": "Para abrir um arquivo,", "temperature": 0.9, "seed": 5, "n": 2, "max_new_tokens": 12, "logprobs": 1}""")]
    [InlineData("""{"prompt": "The animal did not cross the street because", "temperature": 0, "stop": ["too wi"], "echo": true}""")]
    public async Task A_stream_adds_up_to_the_whole(string request)
    {
        var whole = (await demo.Client.PostAsync(Gpt, request)).Ok;
        var events = await StreamAsync(Gpt, request);
        Assert.Equal("timings usage", events[^1].Names());
        Assert.Equal(whole["usage"]!.ToJsonString(), events[^1]["usage"]!.ToJsonString());
        foreach (var choice in whole["choices"]!.AsArray())
        {
            var own = events.SkipLast(1).Where(e => (int)e["index"]! == (int)choice!["index"]!).ToList();
            Assert.Equal((string)choice!["text"]!, string.Concat(own.Select(e => (string)e["text"]!)));
            Assert.Equal(choice["token_ids"]!.ToJsonString(), $"[{string.Join(',', own.Where(e => e["token_id"] is not null).Select(e => e["token_id"]!.ToJsonString()))}]");
            Assert.Equal([(string)choice["finish_reason"]!], own.Where(e => e["finish_reason"] is not null).Select(e => (string)e["finish_reason"]!));
            Assert.NotNull(own[^1]["finish_reason"]);
            if (choice["logprobs"] is { } logprobs)
            {
                foreach (var (one, streamed) in logprobs.AsArray().Zip(own))
                {
                    Assert.Equal((int)one!["token_id"]!, (int)streamed["logprobs"]!["token_id"]!);
                    Assert.Equal((double)one["logprob"]!, (double)streamed["logprobs"]!["logprob"]!, 1e-4); // another batch rounds otherwise
                    Assert.Equal(one["top"]!.AsArray().Count, streamed["logprobs"]!["top"]!.AsArray().Count);
                }
            }
        }
    }

    [Fact]
    public async Task A_deadline_in_mid_stream_is_an_event_and_nothing_follows()
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, Gpt)
        {
            Content = new StringContent("""{"prompt": "Para abrir um arquivo,", "temperature": 0, "max_new_tokens": 250, "n": 64, "logit_bias": {"0": -100}, "stream": true}""", new MediaTypeHeaderValue("application/json")),
        };
        request.Headers.Add("x-deadline-ms", "400");
        using var answer = await demo.Client.SendAsync(request, TestContext.Current.CancellationToken);
        var lines = (await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken)).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        if (answer.StatusCode == System.Net.HttpStatusCode.OK)
        {
            Assert.DoesNotContain("data: [DONE]", lines);
            Assert.Equal(504, (int)JsonNode.Parse(lines[^1][5..])!["status"]!);
        }
        else
        {
            Assert.Equal(504, (int)answer.StatusCode); // a slow machine: before its first byte
        }

        Assert.Equal(" it was too wide.", (string)(await demo.Client.PostAsync(Gpt, """{"prompt": "The animal did not cross the street because", "temperature": 0}""")).Ok["choices"]![0]!["text"]!);
    }

    [Fact]
    public async Task A_client_that_leaves_costs_the_others_nothing()
    {
        for (var i = 0; i < 8; i++)
        {
            using var gone = new CancellationTokenSource();
            using var request = new HttpRequestMessage(HttpMethod.Post, Gpt)
            {
                Content = new StringContent($$$"""{"prompt": "Para abrir um arquivo,", "temperature": 0, "max_new_tokens": 250, "n": 8, "logit_bias": {"0": -100}, "stream": {{{(i % 2 == 0 ? "true" : "false")}}}}""", new MediaTypeHeaderValue("application/json")),
            };
            var sending = demo.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, gone.Token);
            if (i % 2 == 0)
            {
                using var answer = await sending; // it leaves in mid-stream
                await gone.CancelAsync();
            }
            else
            {
                await gone.CancelAsync();
                await Assert.ThrowsAnyAsync<OperationCanceledException>(() => sending);
            }
        }

        Assert.Equal(" it was too wide.", (string)(await demo.Client.PostAsync(Gpt, """{"prompt": "The animal did not cross the street because", "temperature": 0}""")).Ok["choices"]![0]!["text"]!);
        demo.Process.AssertCleanLog();
    }

    [Theory]
    [InlineData("llama-chat")]
    [InlineData("qwen2-with-past")]
    public async Task A_conversation_is_rendered_and_gone_on_from_as_the_reference_does(string folder)
    {
        using var expected = JsonDocument.Parse(await File.ReadAllBytesAsync(Path.Combine(TestData.Zoo, folder, "expected.json"), TestContext.Current.CancellationToken));
        var checks = 0;
        foreach (var chat in expected.RootElement.GetProperty("chat").EnumerateArray().Where(c => c.GetProperty("add_generation_prompt").GetBoolean()))
        {
            var answer = (await zoo.Client.PostAsync($"/api/models/{folder}/generations", $$"""{"messages": {{chat.GetProperty("messages").GetRawText()}}, "temperature": 0, "max_new_tokens": 12}""")).Ok;
            Assert.Equal(chat.GetProperty("input_ids").GetArrayLength(), (int)answer["usage"]!["prompt_tokens"]!);
            if (chat.TryGetProperty("greedy", out var greedy))
            {
                Assert.Equal(greedy.GetRawText().Replace(" ", "", StringComparison.Ordinal).Replace("\n", "", StringComparison.Ordinal), answer["choices"]![0]!["token_ids"]!.ToJsonString());
            }

            checks++;
        }

        Assert.InRange(checks, 1, 100);
    }

    [Theory]
    [InlineData("{\"messages\": [{\"role\": \"user\", \"content\": \"\u009b\"}]}", "messages")] // bytes that are no UTF-8
    [InlineData("{\"messages\": [{\"role\": \"user\", \"na\u009bme\": \"a\", \"content\": \"a\"}]}", "messages")]
    [InlineData("{\"messages\": [{\"role\": \"user\", \"content\": \"a \\ud800 b\"}]}", "messages")]
    [InlineData("{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}], \"chat_template_kwargs\": {\"a\u009bb\": 1}}", "chat_template_kwargs")]
    public async Task Conversations_that_are_no_unicode_are_refused_by_name(string latin, string field)
    {
        using var content = new ByteArrayContent(System.Text.Encoding.Latin1.GetBytes(latin)) { Headers = { ContentType = new("application/json") } };
        using var answer = await zoo.Client.PostAsync("/api/models/llama-chat/generations", content, TestContext.Current.CancellationToken);
        var problem = System.Text.Json.Nodes.JsonNode.Parse(await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken))!;
        Assert.Equal((400, field), ((int)answer.StatusCode, (string?)problem["field"]));
    }

    [Theory]
    [InlineData("""[{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]""", "messages", "alternate")]
    [InlineData("""[{"role": "tool", "content": "a"}]""", "messages", "alternate")]
    [InlineData("""[]""", "messages", "at least one")]
    [InlineData("""[{"role": "user", "content": 5}]""", "messages[0].content", "text")]
    [InlineData("""[{"role": "user", "content": null}]""", "messages[0].content", "missing")]
    [InlineData("""[{"role": "user"}]""", "messages[0].content", "missing")]
    [InlineData("""[{"content": "a"}]""", "messages[0]", "role")]
    [InlineData("""["a"]""", "messages[0]", "role")]
    [InlineData("""[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]""", "messages[0].content[0]", "image_url")]
    [InlineData("""[{"role": "user", "content": []}]""", "messages[0].content", "part")]
    public async Task Messages_that_cannot_be_rendered_are_refused_by_name(string messages, string field, string part)
    {
        foreach (var stream in (string[])["false", "true"])
        {
            var answer = await zoo.Client.PostAsync("/api/models/llama-chat/generations", $$"""{"messages": {{messages}}, "stream": {{stream}}}""");
            Assert.Equal((422, field), (answer.Status, (string)answer.Json["field"]!));
            Assert.Contains(part, (string)answer.Json["detail"]!, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Parts_of_text_are_the_text_and_the_server_s_variables_stay_its_own()
    {
        async Task<int> Tokens(string messages) => (int)(await zoo.Client.PostAsync("/api/models/llama-chat/generations", $$"""{"messages": {{messages}}, "max_new_tokens": 1}""")).Ok["usage"]!["prompt_tokens"]!;
        Assert.Equal(await Tokens(Bank), await Tokens("""[{"role": "user", "content": [{"type": "text", "text": "Where is the bank?"}]}]"""));
        Assert.Equal(24, await Tokens(Bank));
        var refused = await zoo.Client.PostAsync("/api/models/llama-chat/generations", $$$"""{"messages": {{{Bank}}}, "chat_template_kwargs": {"messages": []}}""");
        Assert.Equal((422, "chat_template_kwargs.messages"), (refused.Status, (string)refused.Json["field"]!));
    }

    [Fact]
    public async Task Waiting_prompts_and_answers_are_bounded()
    {
        await using var server = await ServerProcess.StartAsync(Repository.Models, new Dictionary<string, string?> { ["Limits__MaxAnswerBytes"] = "100000", ["Queue__MaxWaitingSequences"] = "100", ["Generation__MaxSequences"] = "50" });
        var large = await server.Client.PostAsync(Gpt, """{"prompt": "a", "n": 40, "max_new_tokens": 200}""");
        Assert.Equal(413, large.Status);
        Assert.Contains("Limits:MaxAnswerBytes", (string)large.Json["detail"]!, StringComparison.Ordinal);

        var answers = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => server.Client.PostAsync(Gpt, """{"prompt": "Para abrir um arquivo,", "n": 40, "max_new_tokens": 30, "temperature": 1}""")));
        Assert.Contains(answers, answer => answer.Status == 200);
        Assert.Contains(answers, answer => answer.Status == 429);
        Assert.All(answers, answer => Assert.True(answer.Status is 200 or 429, answer.Json.ToJsonString()));
        Assert.Equal(200, (await server.Client.PostAsync(Gpt, """{"prompt": "a", "max_new_tokens": 2}""")).Status); // nothing is counted that is not there any more
        server.AssertCleanLog();
    }

    [Fact]
    public async Task Embeddings_are_answered_while_eight_sequences_generate()
    {
        var generating = Enumerable.Range(0, 8).Select(i => demo.Client.PostAsync(Gpt, $$$"""{"prompt": "Para abrir um arquivo,", "temperature": 1, "seed": {{{i}}}, "max_new_tokens": 240, "logit_bias": {"0": -100}}""")).ToArray();
        for (var i = 0; i < 5; i++)
        {
            Assert.Equal(200, (await demo.Client.PostAsync("/api/models/demo-bert/embeddings", """{"inputs": "The cat sleeps."}""")).Status);
        }

        foreach (var answer in await Task.WhenAll(generating))
        {
            Assert.Equal(240, (int)answer.Ok["usage"]!["completion_tokens"]!);
        }
    }

    private async Task<List<JsonNode>> StreamAsync(string path, string request)
    {
        var body = JsonNode.Parse(request)!;
        body["stream"] = true;
        using var content = new StringContent(body.ToJsonString(), new MediaTypeHeaderValue("application/json"));
        using var answer = await demo.Client.PostAsync(path, content, TestContext.Current.CancellationToken);
        Assert.Equal("text/event-stream", answer.Content.Headers.ContentType!.MediaType);
        var text = await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        Assert.EndsWith("\n\n", text, StringComparison.Ordinal);
        var events = text.Split("\n\n", StringSplitOptions.RemoveEmptyEntries);
        Assert.All(events, e => Assert.StartsWith("data: ", e, StringComparison.Ordinal));
        Assert.Equal("data: [DONE]", events[^1]);
        return [.. events.SkipLast(1).Select(e => JsonNode.Parse(e[6..])!)];
    }
}
